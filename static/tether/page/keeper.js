/**
 * What this browser keeps of the outbox for all its tabs: IndexedDB holds it, a broadcast tells the other tabs,
 * and a lock, the pen, lets one tab at a time send.
 *
 * IndexedDB writes some time after it was asked to, and a tab that closes before that takes the text along. So each
 * lies in localStorage, which holds it at once, until it has been written.
 *
 * A tab that closes or crashes lets go of the pen by that; the next one reads anew what is kept and goes on.
 */

const DATABASE = "tether";
const STORE = "outbox";
const JUST_NOW = "tether.unsent."; // and the client_id

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function done(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}

function openDatabase() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "client_id" });
  return answer(request);
}

function holdNow(record) {
  try {
    localStorage.setItem(JUST_NOW + record.client_id, JSON.stringify(record));
  } catch {
    // full or forbidden: it lives as long as the tab until it is written
  }
}

function forgetNow(clientId) {
  try {
    localStorage.removeItem(JUST_NOW + clientId);
  } catch {
    // then it was not held either
  }
}

function justNow() {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(JUST_NOW));
    return keys.map((key) => JSON.parse(localStorage.getItem(key))).filter(Boolean);
  } catch {
    return [];
  }
}

export class Keeper {
  durable = true; // false: this browser keeps nothing, and a closed tab loses what it had not sent
  #userId;
  #database;
  #others;
  #onProblem;

  /** onHeard(message) gets what another tab put or dropped, in the shape that `Outbox.hear` takes. */
  constructor({ userId, onHeard, onProblem }) {
    this.#userId = userId;
    this.#onProblem = onProblem;
    this.#database = openDatabase().catch((error) => this.#lost(error));
    this.#others = new BroadcastChannel(`tether.outbox.${userId}`);
    this.#others.onmessage = ({ data }) => onHeard(data);
    // A tab that closes before its text is written says nothing more: what it held at once is heard by itself.
    addEventListener("storage", ({ key, newValue }) => {
      const record = key?.startsWith(JUST_NOW) && newValue ? JSON.parse(newValue) : null;
      if (record?.user_id === userId) onHeard({ put: record });
    });
  }

  /** Return what is kept of this user's. What another user of this browser left is erased first. */
  async load() {
    const records = new Map(justNow().map((record) => [record.client_id, record]));
    const store = await this.#store(); // for writing, so that it comes after what other tabs have begun
    const written = store ? await answer(store.getAll()).catch((error) => this.#lost(error)) : null;
    for (const record of written ?? []) records.set(record.client_id, record);
    const all = [...records.values()];
    for (const { client_id: id } of all.filter(({ user_id: user }) => user !== this.#userId)) {
      forgetNow(id);
      if (written) store.delete(id);
    }
    return all.filter(({ user_id: user }) => user === this.#userId).sort((a, b) => a.at - b.at);
  }

  put(record) {
    const kept = { ...record, user_id: this.#userId };
    holdNow(kept);
    const written = this.#change((store) => store.put(kept), { put: record });
    written.then(() => this.durable && forgetNow(record.client_id));
  }

  /** Forget a text: acked at `seq`, or given up. */
  drop(clientId, seq) {
    forgetNow(clientId);
    this.#change((store) => store.delete(clientId), { drop: clientId, seq });
  }

  clear() {
    for (const { client_id: id } of justNow()) forgetNow(id);
    return this.#change((store) => store.clear(), { cleared: true });
  }

  async #change(write, message) {
    const store = await this.#store();
    if (store) await done(write(store).transaction).catch((error) => this.#lost(error));
    this.#others.postMessage(message); // after it is kept: whoever hears it may read it
  }

  async #store() {
    const database = await this.#database;
    try {
      return database?.transaction(STORE, "readwrite").objectStore(STORE);
    } catch (error) {
      return this.#lost(error);
    }
  }

  #lost(error) {
    this.durable = false;
    this.#database = Promise.resolve(null);
    this.#onProblem(error);
    return null;
  }
}

/** Whoever holds it sends. Taken when there is something to send, laid down when there is not. */
export class Pen {
  held = false;
  #name;
  #onHeld;
  #asking = null; // aborts the question
  #layDown = null;

  /** onHeld(hold) prepares, then calls hold(): it says whether the pen is in hand now, or was given up meanwhile. */
  constructor({ name, onHeld }) {
    this.#name = name;
    this.#onHeld = onHeld;
  }

  want() {
    if (this.#asking) return;
    this.#asking = new AbortController();
    const { signal } = this.#asking;
    const take = () => this.#take(signal);
    // Without locks (plain http to another host) each tab writes for itself; the server takes each text once.
    const asked = navigator.locks ? navigator.locks.request(this.#name, { signal }, take) : take();
    asked.catch((error) => {
      if (error.name === "AbortError") return; // laid down before it was ours
      this.rest(); // so that it can be asked for again
      throw error;
    });
  }

  rest() {
    this.held = false;
    this.#asking?.abort();
    this.#asking = null;
    this.#layDown?.();
  }

  async #take(signal) {
    const rested = new Promise((resolve) => (this.#layDown = resolve));
    await this.#onHeld(() => {
      if (!signal.aborted) this.held = true;
      return !signal.aborted;
    });
    await rested;
  }
}
