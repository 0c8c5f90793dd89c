/* Moments in the folder that the server has an index of. */

import { address, ask, picture } from "./api.js";
import { byId, clock, make, showTrouble } from "./dom.js";

const TOP = 12;
let running = new AbortController();
let index = null;

/** Say what can be searched; `kept()` gives the key of the video on the first view, or null. */
export function prepareSearch(found, kept) {
  index = found;
  byId("search-about").textContent = index
    ? `In ${[index.name, count(index.videos, "video"), count(index.moments, "moment")].filter(Boolean).join(" · ")}.`
    : "This server was started without an index of a folder, so there is nothing to search.";
  byId("search-form").hidden = !index;
  byId("no-index").hidden = Boolean(index);
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const query = byId("query").value.trim();
    if (query) search({ query, top: TOP }, `“${query}”`);
  });
  byId("alike").addEventListener("click", () => search({ video: kept(), top: TOP }, "your video"));
  byId("moment-close").addEventListener("click", () => byId("moment").close());
  byId("moment").addEventListener("close", () => byId("moment-video").removeAttribute("src"));
  byId("moment-video").addEventListener("error", (event) => {
    if (event.target.hasAttribute("src")) byId("moment-hint").textContent = "This browser cannot play the file.";
  });
}

function count(number, word) {
  return number === undefined || number === null ? "" : `${number.toLocaleString("en")} ${word}${number === 1 ? "" : "s"}`;
}

async function search(asked, words) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  byId("search-trouble").hidden = true;
  byId("search-hint").textContent = "Searching…";
  byId("moments").classList.add("stale");
  try {
    const { moments } = await ask("search", asked, { signal });
    draw(moments, signal);
    byId("search-hint").textContent = moments.length
      ? `${count(moments.length, "moment")} for ${words}, best first.`
      : `Nothing was found for ${words}. The index may be empty.`;
  } catch (trouble) {
    if (trouble.name === "AbortError") return;
    byId("search-hint").textContent = "";
    byId("moments").replaceChildren();
    showTrouble(byId("search-trouble"), trouble, { "Search again": () => search(asked, words) });
  }
  byId("moments").classList.remove("stale");
}

function draw(moments, signal) {
  byId("moments").replaceChildren(...moments.map((moment) => {
    const image = make("img", { alt: "" });
    if (moment.thumbnail) {
      picture(moment.thumbnail, signal).then((place) => {
        image.onload = () => URL.revokeObjectURL(place);
        image.src = place;
      }, () => image.remove());
    }
    const when = `${clock(moment.start)} – ${clock(moment.end)}`;
    const button = make("button", { type: "button" }, image,
      make("span", { className: "file", textContent: moment.source }),
      make("span", { className: "when" }, make("span", { textContent: when }),
        make("span", { textContent: moment.score.toFixed(3), title: "similarity" })));
    button.addEventListener("click", () => show(moment, when));
    return make("li", {}, button);
  }));
}

function show(moment, when) {
  const video = byId("moment-video");
  byId("moment-title").textContent = moment.source;
  byId("moment-hint").textContent = when;
  video.src = `${address(moment.video)}#t=${moment.start}`;
  byId("moment").showModal();
  video.play().catch(() => {}); // a browser that wants a click first shows its own controls
}
