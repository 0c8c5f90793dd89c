/* Making elements. Words from outside become text, never HTML: nothing here parses markup. */

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/** A new element with properties and children. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  Object.assign(element, properties);
  element.append(...children);
  return element;
}

/** A part of one as a percentage: 0.1234 is 12.3%. */
export function percent(part) {
  return `${(100 * part).toFixed(1)}%`;
}

/** Seconds as a clock shows them: 63.5 is 1:03.5. Without tenths where `whole`. */
export function clock(seconds, whole = false) {
  const tenths = Math.round(10 * seconds);
  const [hours, minutes, rest] = [Math.floor(tenths / 36000), Math.floor(tenths / 600) % 60, (tenths % 600) / 10];
  const tail = whole ? String(Math.round(rest)).padStart(2, "0") : rest.toFixed(1).padStart(4, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${tail}` : `${minutes}:${tail}`;
}

/** How large something is, for people. */
export function megabytes(bytes) {
  if (bytes < 2 ** 20) return `${Math.ceil(bytes / 2 ** 10)} kB`;
  return `${(bytes / 2 ** 20).toLocaleString("en", { maximumFractionDigits: bytes < 2 ** 23 ? 1 : 0 })} MB`;
}

/** Show what went wrong in `box`, with a button for each of `actions` (text: function). */
export function showTrouble(box, trouble, actions = {}) {
  const lines = [
    make("p", { className: "what", textContent: trouble.what || `Something went wrong on this page: ${trouble.message || trouble}` }),
    ...[trouble.expected, trouble.hint].filter(Boolean).map((textContent) => make("p", { textContent })),
  ];
  if (trouble.code) lines.push(make("p", {}, make("code", { textContent: trouble.code })));
  const buttons = Object.entries(actions).map(([textContent, action]) => {
    const button = make("button", { type: "button", textContent });
    button.addEventListener("click", action);
    return button;
  });
  if (buttons.length) lines.push(make("div", { className: "row" }, ...buttons));
  box.replaceChildren(...lines);
  box.hidden = false;
}
