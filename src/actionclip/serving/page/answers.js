/* Scores that move as labels change, and the frames they rest on. */

import { clock, make, percent } from "./dom.js";

const SHOWN = 10;
const PICTURES = 16; // most that the service gives
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Draw scores, best first, all or the first ten; `more` is the button for the others. Rows that are there
    already slide to their new place. */
export function drawScores(list, scores, all, more) {
  more.hidden = scores.length <= SHOWN;
  more.textContent = all ? "Show the first ten" : `Show all ${scores.length}`;
  const old = [...list.children];
  const before = new Map(old.map((row) => [row, row.getBoundingClientRect().top]));
  const shown = all ? scores : scores.slice(0, SHOWN);
  list.replaceChildren(...shown.map(({ label, score }) => {
    const known = old.findIndex((row) => row.dataset.label === label);
    const [row] = known < 0 ? [newRow(label)] : old.splice(known, 1); // each once: names may be there twice
    row.querySelector(".value").textContent = percent(score);
    return row;
  }));
  for (const [place, { score }] of shown.entries()) {
    const row = list.children[place];
    void row.offsetWidth; // a new bar grows from nothing
    row.querySelector("i").style.width = percent(score);
    const moved = (before.get(row) ?? NaN) - row.getBoundingClientRect().top;
    if (moved && !still.matches) {
      row.animate([{ transform: `translateY(${moved}px)` }, { transform: "none" }], { duration: 300, easing: "ease-out" });
    }
  }
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

/** What else there is to say of the scores: a calibrated model's label set, labels that are hard to tell apart. */
export function drawRemarks(list, { warnings, label_set: sure }) {
  const set = sure ? [`With ${percent(sure.coverage)} coverage one of: ${sure.labels.join(", ") || "none of them"}.`] : [];
  list.replaceChildren(...[...set, ...warnings].map((textContent) => make("li", { textContent })));
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

/** Say how many frames the scores rest on, and how many of them are shown: nothing without an answer.
    Of a short video the model sees frames several times; each of them is shown once. */
export function drawFramesHint(box, answer, shown) {
  const all = shown < PICTURES && shown < answer?.frames;
  const these = shown === 0 ? "" : !all ? `; ${shown} of them are here`
    : shown === 1 ? ": all of them this one" : `: ${shown} different ones, some of them several times`;
  box.textContent = answer ? `The scores rest on ${answer.frames} frames${these}.` : "";
}

/** What a frame is called. */
export function frameName(seconds) {
  return `Frame at ${clock(seconds)}: go there`;
}
