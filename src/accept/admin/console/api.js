// Asks the gateway, with the admin key. The key lives as long as the tab, and is sent in a header
// only: it never stands in an address, a cookie or anything that outlives the tab.

const KEPT = 'tollgate-admin-key';

let key = sessionStorage.getItem(KEPT);
let refused = () => {};

/** Why there is no answer: `status` 0 is that nobody answered. */
export class Failure extends Error {
  constructor(status, message, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }

  get code() {
    return this.body?.error?.code ?? null;
  }
}

export function hasKey() {
  return key !== null;
}

export function setKey(text) {
  key = text;
  if (text === null) sessionStorage.removeItem(KEPT);
  else sessionStorage.setItem(KEPT, text);
}

/** Who is told when the key is not accepted any more. */
export function onRefused(listener) {
  refused = listener;
}

/** Is that the admin key? Throws if not, or if it can't be found out. */
export async function tryKey(text) {
  const response = await send('/admin/v1/config', { headers: { authorization: `Bearer ${text}` } });
  if (!response.ok) throw await failure(response);
}

export async function get(path, signal) {
  return (await call(path, { signal })).json();
}

export async function post(path, body, signal) {
  return (await call(path, { method: 'POST', signal, ...json(body) })).json();
}

export async function patch(path, body) {
  return (await call(path, { method: 'PATCH', ...json(body) })).json();
}

/** The metrics, which want no key. */
export async function metrics(signal) {
  const response = await send('/metrics', { signal });
  if (!response.ok) throw await failure(response);
  return response.text();
}

/** The answer as it comes, whatever its status. */
export async function open(path, body, headers, signal) {
  const asked = json(body);
  const all = { ...asked.headers, ...headers, authorization: `Bearer ${key}` };
  return send(path, { method: 'POST', body: asked.body, headers: all, signal });
}

/** A name in a path: slashes stay, as names hold them. */
export function name(text) {
  return text.split('/').map(encodeURIComponent).join('/');
}

async function call(path, options) {
  const headers = { ...options.headers, authorization: `Bearer ${key}` };
  const response = await send(path, { ...options, headers });
  if (response.ok) return response;
  const why = await failure(response);
  if (why.status === 401) refused(why);
  throw why;
}

async function send(path, options) {
  try {
    return await fetch(path, { ...options, cache: 'no-store', credentials: 'omit', redirect: 'error' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Failure(0, 'The gateway does not answer.');
  }
}

export async function failure(response) {
  const text = await response.text().catch(() => '');
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // not everything that refuses speaks JSON
  }
  if (response.status === 429 && !body) {
    const wait = response.headers.get('retry-after');
    return new Failure(429, `Too many wrong keys from this address. Try again in ${wait ?? 60} s.`);
  }
  return new Failure(response.status, body?.error?.message ?? (text.trim() || `status ${response.status}`), body);
}

function json(body) {
  if (body === undefined) return { headers: {} };
  return { headers: { 'content-type': 'application/json' }, body: typeof body === 'string' ? body : JSON.stringify(body) };
}
