/* Scores that move as labels change, and the frames they rest on. */

import { clock, make, percent } from "./dom.js";

const SHOWN = 10;
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Draw scores, best first. Rows that are there already slide to their new place. */
export function drawScores(list, scores, all) {
  const rows = new Map([...list.children].map((row) => [row.dataset.label, row]));
  const before = new Map([...rows].map(([label, row]) => [label, row.getBoundingClientRect().top]));
  const shown = all ? scores : scores.slice(0, SHOWN);
  list.replaceChildren(...shown.map(({ label, score }) => {
    const row = rows.get(label) ?? newRow(label);
    row.querySelector(".value").textContent = percent(score);
    return row;
  }));
  for (const [place, { label, score }] of shown.entries()) {
    const row = list.children[place];
    void row.offsetWidth; // a new bar grows from nothing
    row.querySelector("i").style.width = percent(score);
    const moved = (before.get(label) ?? NaN) - row.getBoundingClientRect().top;
    if (moved && !still.matches) {
      row.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: 300, easing: "ease-out" });
    }
  }
  return scores.length > SHOWN;
}

function newRow(label) {
  const bar = make("span", { className: "bar" }, make("i"));
  bar.setAttribute("aria-hidden", "true");
  const row = make("li", {},
    make("span", { className: "name", textContent: label }), " ",
    make("span", { className: "value" }), bar);
  row.dataset.label = label;
  return row;
}

/** The scores in a sentence, for those who listen. */
export function spoken(scores) {
  return scores.slice(0, 3).map(({ label, score }) => `${label} ${percent(score)}`).join(", ");
}

/** Draw the frames that the model saw; `seek(seconds)` is called for the one chosen. */
export function drawFrames(list, frames, seek) {
  list.replaceChildren(...frames.map(({ time, image }) => {
    const picture = make("img", { alt: "", src: image });
    const button = make("button", { type: "button", ariaLabel: frameName(time) }, picture, clock(time));
    button.addEventListener("click", () => seek(time));
    const row = make("li", {}, button);
    row.dataset.time = time;
    return row;
  }));
}

/** Below each frame: what the lead of the first label loses, or gains, without it. Says how to read it. */
export function drawWhy(list, { label, runner_up: other, frames, sentences }) {
  const losses = frames.map(({ margin_drop: lead, drop }) => lead ?? drop ?? 0);
  const widest = Math.max(...losses.map(Math.abs), 1e-9);
  for (const row of list.children) {
    const far = frames.map(({ time }) => Math.abs(time - row.dataset.time));
    const part = losses[far.indexOf(Math.min(...far))] / widest;
    const fill = make("i");
    fill.style.width = percent(Math.abs(part));
    const bar = make("span", { className: "lean" }, fill);
    bar.setAttribute("aria-hidden", "true");
    row.classList.toggle("for", part > 0);
    row.firstElementChild.append(bar);
    row.firstElementChild.ariaLabel = `${frameName(row.dataset.time)}; speaks ${part > 0 ? "for" : "against"} ${label}, ${percent(Math.abs(part))} of the most`;
  }
  const lead = other ? `the lead of “${label}” over “${other}”` : `the score of “${label}”`;
  const best = sentences[0] ? ` The sentence that fits it best: “${sentences[0].sentence}”.` : "";
  return `Coloured: without this frame ${lead} would be smaller. Grey: it would be larger.${best}`;
}

/** Take the bars away: they were about other labels. */
export function forgetWhy(list) {
  for (const row of list.children) {
    row.querySelector(".lean")?.remove();
    row.firstElementChild.ariaLabel = frameName(row.dataset.time);
  }
}

function frameName(seconds) {
  return `Frame at ${clock(seconds)}: go there`;
}
