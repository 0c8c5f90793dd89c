/* Why the answer is what it is: what each frame adds to it, and where in the frames. */

import { frameName } from "./answers.js";
import { clock, make, percent } from "./dom.js";

const FOR = "178, 24, 43";
const AGAINST = "33, 102, 172";
const SIDE = 240; // pixels of a picture's longer side, at least: places of a small tower stay sharp

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
    row.querySelector(".lean")?.remove(); // when asked a second time
    row.firstElementChild.append(bar);
    row.firstElementChild.ariaLabel = `${frameName(row.dataset.time)}; speaks ${part > 0 ? "for" : "against"} ${label}, ${percent(Math.abs(part))} of the most`;
  }
  const lead = other ? `the lead of “${label}” over “${other}”` : `the score of “${label}”`;
  const best = sentences[0] ? ` The sentence that fits it best: “${sentences[0].sentence}”.` : "";
  return `Coloured: without this frame ${lead} would be smaller. Grey: it would be larger.${best}`;
}

/** Take the explanation away, the bars and what is in `boxes`: it was about other labels, or another video. */
export function forgetWhy(list, boxes) {
  for (const box of boxes) box.replaceChildren();
  for (const row of list.children) {
    row.querySelector(".lean")?.remove();
    row.firstElementChild.ariaLabel = frameName(row.dataset.time);
  }
}

/** The frames that the answer rests on most, with the map over them. Says how to read it. */
export async function drawPlaces(list, { label, maps }, pictures, seek) {
  if (!maps) return "";
  const most = Math.max(...maps.chosen.flat(2).map(Math.abs), 1e-12);
  const rows = await Promise.all(pictures.map(async ({ frame, time, image }) => {
    const map = maps.chosen[frame].map((row) => row.map((value) => value / most));
    const picture = await laidOver(image, map);
    const what = maps.kind === "rollout" ? "most is seen" : `most speaks for ${label}`;
    const button = make("button", { type: "button", ariaLabel: `${frameName(time)}; ${what} ${placeOf(map)}` }, picture, clock(time));
    button.addEventListener("click", () => seek(time));
    const row = make("li", {}, button);
    row.dataset.time = time;
    return row;
  }));
  list.replaceChildren(...rows);
  const colours = maps.kind === "rollout" ? "Red: much." : `Red speaks for “${label}”, blue against it.`;
  return `Where in these frames: ${colours} A place shows ${maps.means}.`;
}

/** A frame in grey with a map over it; nothing where the map is near zero. */
async function laidOver(image, map) {
  const frame = make("img", { src: image });
  await frame.decode();
  const scale = Math.ceil(SIDE / Math.max(frame.naturalWidth, frame.naturalHeight));
  const canvas = make("canvas", { width: scale * frame.naturalWidth, height: scale * frame.naturalHeight });
  canvas.setAttribute("aria-hidden", "true");
  const brush = canvas.getContext("2d", { willReadFrequently: true });
  brush.drawImage(frame, 0, 0, canvas.width, canvas.height);
  const pixels = brush.getImageData(0, 0, canvas.width, canvas.height);
  for (let at = 0; at < pixels.data.length; at += 4) {
    const grey = (pixels.data[at] + pixels.data[at + 1] + pixels.data[at + 2]) / 3;
    pixels.data.fill(grey, at, at + 3);
  }
  brush.putImageData(pixels, 0, 0);
  const [height, width] = [canvas.height / map.length, canvas.width / map[0].length];
  for (const [row, values] of map.entries()) {
    for (const [column, value] of values.entries()) {
      brush.fillStyle = `rgba(${value > 0 ? FOR : AGAINST}, ${0.75 * Math.sqrt(Math.abs(value))})`;
      const [left, top] = [Math.round(column * width), Math.round(row * height)];
      brush.fillRect(left, top, Math.round((column + 1) * width) - left, Math.round((row + 1) * height) - top);
    }
  }
  return canvas;
}

/** In words: where a map is highest. */
function placeOf(map) {
  const values = map.flat();
  const at = values.indexOf(Math.max(...values));
  const [row, column] = [Math.floor(at / map[0].length), at % map[0].length];
  const third = (place, count) => Math.floor(3 * (place + 0.5) / count);
  const [down, across] = [third(row, map.length), third(column, map[0].length)];
  if (down === 1 && across === 1) return "in the middle";
  return [["at the top", "half way up", "at the bottom"][down], ["on the left", "", "on the right"][across]].join(" ").trim();
}
