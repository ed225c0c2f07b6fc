/**
 * What this browser keeps of the outbox for all its tabs: IndexedDB holds it, a broadcast tells the other tabs,
 * and a lock, the pen, lets one tab at a time send.
 *
 * A tab that closes or crashes lets go of the pen by that; the next one reads anew what is kept and goes on.
 */

const DATABASE = "tether";
const STORE = "outbox";

function answer(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function openDatabase() {
  const request = indexedDB.open(DATABASE, 1);
  request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "client_id" });
  return answer(request);
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
  }

  /** Return what is kept of this user's. What another user of this browser left is erased first. */
  async load() {
    const store = await this.#store(); // for writing, so that it comes after what other tabs have begun
    if (!store) return [];
    const records = await answer(store.getAll()).catch((error) => this.#lost(error) ?? []);
    const mine = records.filter((record) => record.user_id === this.#userId);
    for (const record of records) if (record.user_id !== this.#userId) store.delete(record.client_id);
    return mine.sort((a, b) => a.at - b.at);
  }

  put(record) {
    this.#change((store) => store.put({ ...record, user_id: this.#userId }), { put: record });
  }

  /** Forget a text: acked at `seq`, or given up. */
  drop(clientId, seq) {
    this.#change((store) => store.delete(clientId), { drop: clientId, seq });
  }

  clear() {
    return this.#change((store) => store.clear(), { cleared: true });
  }

  async #change(write, message) {
    const store = await this.#store();
    if (store) await answer(write(store)).catch((error) => this.#lost(error));
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
