/* Asking the service. What goes wrong is a Trouble, in the service's own words: what happened, what
   was expected, what to do, and a code. A busy server is waited for, and the wait is shown. */

import { megabytes } from "./dom.js";

const TRIES = 30;
let token = sessionStorage.getItem("token") ?? "";
let hooks = { gate: async () => "", waiting: () => {} };

export class Trouble extends Error {
  constructor({ what, message, expected, hint, code }) {
    super(what ?? message ?? "Something went wrong.");
    this.what = this.message;
    this.expected = expected ?? "";
    this.hint = hint ?? "";
    this.code = code ?? "";
  }
}

/** `gate()` asks for a token; `waiting(seconds, hurry)` shows how long a busy server is still waited for
    (0: no more) and may call `hurry` to end that. */
export function prepare(given) {
  hooks = { ...hooks, ...given };
  const carried = new URLSearchParams(location.hash.slice(1)).get("token");
  if (carried) {
    keep(carried);
    history.replaceState(null, "", location.pathname + location.search);
  }
}

function keep(value) {
  token = value.replace(/[^\x20-\x7e]/g, "").trim(); // what no header can carry is in no token
  sessionStorage.setItem("token", token);
}

/** Whether this server wants to know a token. */
export function asksForToken() {
  return Boolean(token);
}

/** An address of this server, also where it lies below a folder. */
export function address(path) {
  return new URL(path.replace(/^\/+/, ""), document.baseURI).href;
}

/** What a question is answered with; without a body it is a GET. */
export async function ask(path, body, { signal } = {}) {
  const response = await patiently(signal, () => send(path, body, signal));
  return response.json();
}

/** A picture as an address that an <img> can show; fetched here because it may need the token. */
export async function picture(path, signal) {
  const response = await patiently(signal, () => send(path, undefined, signal));
  return URL.createObjectURL(await response.blob());
}

/** An address that a player can read: the server's own, or where that asks for a token, a copy of the file. */
export async function playable(path) {
  return token ? picture(path) : address(path);
}

async function send(path, body, signal) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  const options = { headers, signal, cache: "no-store", credentials: "same-origin" };
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    Object.assign(options, { method: "POST", body: JSON.stringify(body) });
  }
  const response = await fetch(address(path), options).catch((error) => {
    throw error.name === "AbortError" ? error : gone();
  });
  return { status: response.status, header: (name) => response.headers.get(name),
    json: () => response.json(), blob: () => response.blob() };
}

/** What is wrong with a file that has more bytes than the server takes; null where it has not. */
export function tooLarge(file, limit) {
  if (!limit || file.size <= limit) return null;
  return new Trouble({ what: `${file.name} has ${megabytes(file.size)}.`, code: "upload_too_large",
    expected: `This server takes videos of up to ${megabytes(limit)}.`,
    hint: "Cut it shorter or make it smaller; or use the command line, which has no such limit." });
}

/** Send a form with fields and a file; `progress(part)` hears how much has gone, 0 to 1. */
export async function upload(path, file, fields, { signal, progress }) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  form.append("name", file.name); // browsers change quotation marks in the name beside a file
  form.append("file", file, file.name);
  const response = await patiently(signal, () => sendForm(path, form, { file, signal, progress }));
  return response.json();
}

function sendForm(path, form, { file, signal, progress }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const abort = () => request.abort();
    request.open("POST", address(path));
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
    request.upload.onload = () => progress(1);
    request.onload = () => resolve({ status: request.status, header: (key) => request.getResponseHeader(key),
      json: async () => JSON.parse(request.responseText) });
    request.onerror = async () => reject(await unreadable(file)
      ?? gone("The connection ended while the video was being sent."));
    request.onabort = () => reject(new DOMException("Cancelled.", "AbortError"));
    request.onloadend = () => signal?.removeEventListener("abort", abort);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) return reject(new DOMException("Cancelled.", "AbortError"));
    return request.send(form);
  });
}

/** Whether it is the file that cannot be sent: null where it can be read. */
async function unreadable(file) {
  try {
    await file.slice(0, 1).arrayBuffer();
    return null;
  } catch {
    return new Trouble({ what: `${file.name} cannot be read.`, code: "unreadable",
      expected: "It was moved, changed or deleted since it was chosen; or it is a folder.", hint: "Choose the file again." });
  }
}

function gone(what = "The server does not answer.") {
  return new Trouble({ what, code: "unreachable", hint: "See whether `actionclip serve` is still running, then try again." });
}

/** Send until there is an answer: ask for a token where one is missing, wait where all is busy. */
async function patiently(signal, attempt) {
  for (let tries = 1; ; tries += 1) {
    const response = await attempt();
    const after = Number(response.header("Retry-After"));
    const busy = response.status === 429 || (response.status === 503 && after > 0);
    if (response.status === 401) keep(await hooks.gate(Boolean(token)));
    else if (busy && tries < TRIES) await pause(after || 1, signal);
    else if (response.status < 400) return response;
    else throw await trouble(response);
  }
}

async function trouble(response) {
  try {
    return new Trouble((await response.json()).error);
  } catch {
    return new Trouble({ what: `The server answered ${response.status}.`, code: `http_${response.status}` });
  }
}

function pause(seconds, signal) {
  let left = Math.ceil(seconds);
  let clock = 0;
  const waited = new Promise((resolve, reject) => {
    const show = () => (left > 0 ? hooks.waiting(left, resolve) : resolve());
    clock = setInterval(() => {
      left -= 1;
      show();
    }, 1000);
    signal?.addEventListener("abort", () => reject(new DOMException("Cancelled.", "AbortError")), { once: true });
    show();
  });
  return waited.finally(() => {
    clearInterval(clock);
    hooks.waiting(0);
  });
}
