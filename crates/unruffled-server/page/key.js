// The key of whoever sits here, and requests that bring it. It is kept in this page or, if they want that, in this tab; never in
// what outlives the tab, and never in an address.

const PLACE = "unruffled-key";

/** What a key may be made of, so that it fits into a header and into the protocols of a WebSocket. */
const PLAIN = /^[\w.~+/=-]+$/;

/** What this tab remembers, or `null`; also where storage is switched off. */
export const remembered = (place) => {
  try {
    return sessionStorage.getItem(place);
  } catch {
    return null;
  }
};

/** Has this tab remember a text, or forget it if that is `null`. */
export const remember = (place, text) => {
  try {
    if (text == null) sessionStorage.removeItem(place);
    else sessionStorage.setItem(place, text);
  } catch {
    // It lasts as long as the page.
  }
};

let key = remembered(PLACE);

export const hasKey = () => key != null;

/** Takes a key for all that is asked from now on. Throws what is wrong with a text that can be none. */
export function takeKey(text, inTab) {
  const given = text.trim();
  if (!PLAIN.test(given)) throw new Error("A key has letters and digits, and no blanks in between.");
  key = given;
  remember(PLACE, inTab ? key : null);
}

export function forgetKey() {
  key = null;
  remember(PLACE, null);
}

/** The protocols of a WebSocket: it has no headers, and brings its key here. */
export const protocols = () => (key == null ? [] : ["unruffled", `unruffled-key.${key}`]);

/** What the server refuses: its words, its status, and in how many seconds it may be asked again, if it says so. */
export class Refused extends Error {
  constructor(message, status, again) {
    super(message);
    Object.assign(this, { status, again });
  }
}

/** Why a response is none, as the server puts it. */
export async function refusal(response) {
  const told = await response.json().catch(() => ({}));
  const again = Number(response.headers.get("Retry-After")) || null;
  return new Refused(told.error ?? `the server answered ${response.status}`, response.status, again);
}

/**
 * Fetches something of this server, with the key. An answer of 401 is told to the whole page, by the event `locked`, and thrown
 * like whatever goes wrong on the way; all others are given as they are.
 */
export async function ask(path, { headers = {}, ...rest } = {}) {
  const used = key;
  const credentials = used == null ? {} : { Authorization: `Bearer ${used}` };
  const response = await fetch(path, { ...rest, headers: { ...headers, ...credentials } });
  if (response.status !== 401) return response;
  const error = await refusal(response);
  // Of a key that was given up meanwhile nobody needs to hear.
  if (used === key) window.dispatchEvent(new CustomEvent("locked", { detail: error.message }));
  throw error;
}

/** The JSON that a path answers; throws what the server refuses. */
export async function askJson(path, options) {
  const response = await ask(path, options);
  if (!response.ok) throw await refusal(response);
  return response.json();
}
