/* Labels as chips: type one, press Enter or a comma; paste many. */

import { make } from "./dom.js";

/** Labels between commas or line ends, as on the command line: `"wash, rinse"` is one. */
export function split(text) {
  const found = [];
  for (const [, quoted, plain] of text.matchAll(/\s*(?:"((?:[^"]|"")*)"|([^,\n]+))\s*(?:[,\n]|$)/g)) {
    found.push((quoted?.replaceAll('""', '"') ?? plain).replace(/\s+/g, " ").trim());
  }
  return found.filter(Boolean);
}

export class Chips {
  /** `changed()` is called after every change, `say(text)` tells those who do not see. */
  constructor({ form, list, input, changed, say }) {
    Object.assign(this, { list, input, changed, say, labels: [] });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.take();
    });
    form.addEventListener("click", (event) => event.target === form && input.focus());
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("input", (event) => this.typed(event));
    input.addEventListener("blur", () => this.take());
    input.addEventListener("paste", (event) => this.pasted(event));
  }

  /** Replace all labels. */
  set(labels) {
    this.labels = [];
    this.add(labels, true);
  }

  /** Add labels; those that are there already are left out. */
  add(labels, quiet = false) {
    const known = new Set(this.labels.map(fold));
    const fresh = labels.filter((label) => !known.has(fold(label)) && known.add(fold(label)));
    this.labels.push(...fresh);
    this.draw();
    if (quiet) return;
    if (fresh.length) this.say(`${fresh.join(", ")} added.`);
    else if (labels.length) this.say(`${labels[0]} is there already.`);
    if (fresh.length) this.changed();
  }

  remove(place) {
    const [label] = this.labels.splice(place, 1);
    this.draw();
    this.say(`${label} removed.`);
    const buttons = this.list.querySelectorAll("button");
    (buttons[Math.min(place, buttons.length - 1)] ?? this.input).focus();
    this.changed();
  }

  take() {
    const labels = split(this.input.value);
    this.input.value = "";
    this.add(labels, labels.length === 0);
  }

  key(event) {
    const open = /^\s*"(?:[^"]|"")*$/.test(this.input.value);
    if (event.isComposing) return;
    if (event.key === "," && !open) {
      event.preventDefault();
      this.take();
    } else if (event.key === "Backspace" && !this.input.value && this.labels.length) {
      this.remove(this.labels.length - 1);
      this.input.focus();
    }
  }

  /** A label that was chosen from the list of suggestions needs no Enter. */
  typed({ inputType = "insertReplacementText" }) {
    const offered = [...this.input.list.options].some((option) => option.value === this.input.value);
    if (offered && inputType === "insertReplacementText") this.take();
  }

  pasted(event) {
    const text = event.clipboardData.getData("text");
    if (!/[,\n]/.test(text)) return;
    event.preventDefault();
    this.input.value = "";
    this.add(split(text.replaceAll("\r", "")));
  }

  /** Draw the chips; those that are there already stay, as one of them may just be pressed. */
  draw() {
    const chips = new Map([...this.list.children].map((chip) => [chip.dataset.label, chip]));
    const wanted = this.labels.map((label) => chips.get(label) ?? this.chip(label));
    for (const chip of chips.values()) if (!wanted.includes(chip)) chip.remove();
    wanted.forEach((chip, place) => {
      if (this.list.children[place] !== chip) this.list.insertBefore(chip, this.list.children[place] ?? null);
    });
  }

  chip(label) {
    const button = make("button", { type: "button", textContent: "×", ariaLabel: `Remove ${label}` });
    button.addEventListener("click", () => this.remove(this.labels.indexOf(label)));
    const chip = make("li", { className: "chip" }, make("span", { textContent: label }), button);
    chip.dataset.label = label;
    return chip;
  }
}

function fold(label) {
  return label.toLowerCase();
}
