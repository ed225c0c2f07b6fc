/** The browser's own parts, in the shape that the client asks for. */

const DEVICE_KEY = "tether.device";

export const clock = {
  now: () => Date.now(),
  after: (ms, call) => setTimeout(call, ms),
  cancel: (handle) => clearTimeout(handle),
};

/** 22 characters, 128 bits. (`crypto.randomUUID` exists in secure contexts only.) */
export function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const base64 = btoa(String.fromCharCode(...bytes));
  return base64.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

export function openSocket() {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(`${scheme}//${location.host}/ws/`);
}

/** This browser's lasting id; without storage it lasts as long as the page. */
export function deviceId() {
  try {
    const known = localStorage.getItem(DEVICE_KEY) ?? randomId();
    localStorage.setItem(DEVICE_KEY, known);
    return known;
  } catch {
    return randomId();
  }
}

/** What a person would call this device, as far as the browser tells. */
export function deviceName(agent = navigator.userAgent) {
  const browsers = [["Edg/", "Edge"], ["OPR/", "Opera"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]];
  const systems = [["iPhone", "iPhone"], ["iPad", "iPad"], ["Android", "Android"], ["Windows", "Windows"], ["Mac OS", "Mac"], ["Linux", "Linux"]];
  const named = (pairs, otherwise) => pairs.find(([mark]) => agent.includes(mark))?.[1] ?? otherwise;
  return `${named(browsers, "Browser")}, ${named(systems, "computer")}`;
}

/** This tab's storage; asked at each use, since a browser may forbid it at any time. */
export const storage = {
  getItem: (key) => sessionStorage.getItem(key),
  setItem: (key, value) => sessionStorage.setItem(key, value),
  removeItem: (key) => sessionStorage.removeItem(key),
};
