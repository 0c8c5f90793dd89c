/* Moments in the folder that the server has an index of. */

import { ask, picture, playable } from "./api.js";
import { byId, clock, make, showTrouble } from "./dom.js";

const TOP = 12;
let running = new AbortController();
let shown = null;
let returning = false; // from the entry that an open moment has in the history

/** Say what can be searched: `index` is the place of an index, or null. */
export function prepareSearch(index) {
  byId("search-about").textContent = index
    ? `In ${lastPart(index)}: say what happens, and get the moments where it does.`
    : "This server was started without an index of a folder, so there is nothing to search.";
  byId("search-form").hidden = !index;
  byId("no-index").hidden = Boolean(index);
  byId("search-form").addEventListener("submit", (event) => {
    event.preventDefault();
    const query = byId("query").value.trim();
    if (query) search(query);
  });
  byId("moment-close").addEventListener("click", () => byId("moment").close());
  byId("moment").addEventListener("close", () => {
    if (byId("moment").open) return; // opened again before this was said
    leave();
    returning = isInHistory();
    if (returning) history.back();
  });
  addEventListener("popstate", () => {
    if (!returning) byId("moment").close(); // the Back button, or another address
    else if (byId("moment").open) intoHistory();
    returning = false;
  });
  byId("moment-video").addEventListener("error", (event) => {
    if (event.target.hasAttribute("src")) unplayable();
  });
}

/** An open moment is an entry of its own, so that Back closes it and leads nowhere else. */
function intoHistory() {
  history.pushState({ moment: true }, "");
}

function isInHistory() {
  return Boolean(history.state?.moment);
}

function leave() {
  shown = null;
  for (const name of ["src", "poster"]) {
    URL.revokeObjectURL(byId("moment-video")[name].split("#")[0]);
    byId("moment-video").removeAttribute(name);
  }
}

/** A folder of frames, or a format of which the browser knows nothing: the best frame is shown instead. */
async function unplayable() {
  const moment = shown;
  byId("moment-hint").textContent = "This browser cannot play it.";
  const place = await picture(`index/${moment.file}/frame?time=${moment.best}`).catch((trouble) => {
    if (shown === moment) byId("moment-hint").textContent = trouble.what; // the file is gone, say
  });
  if (!place) return undefined;
  if (shown !== moment) return URL.revokeObjectURL(place); // closed meanwhile
  byId("moment-video").poster = place;
  byId("moment-hint").textContent = `This browser cannot play it: the picture is of ${clock(moment.best)}.`;
  return undefined;
}

function lastPart(path) {
  return path.replace(/[\\/]+$/, "").split(/[\\/]/).pop();
}

async function search(query) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  byId("search-trouble").hidden = true;
  byId("search-hint").textContent = "Searching…";
  byId("moments").classList.add("stale");
  try {
    const { moments } = await ask("search", { query, top: TOP }, { signal });
    draw(moments, signal);
    byId("search-hint").textContent = moments.length
      ? `${moments.length} ${moments.length === 1 ? "moment" : "moments"} for “${query}”, best first.`
      : "Nothing was found: the index is empty.";
  } catch (trouble) {
    if (trouble.name === "AbortError") return;
    byId("search-hint").textContent = "";
    byId("moments").replaceChildren();
    showTrouble(byId("search-trouble"), trouble, { "Search again": () => search(query) });
  }
  byId("moments").classList.remove("stale");
}

function draw(moments, signal) {
  byId("moments").replaceChildren(...moments.map((moment) => {
    const image = make("img", { alt: "" });
    picture(`index/${moment.file}/frame?time=${moment.best}`, signal).then((place) => {
      image.onload = () => URL.revokeObjectURL(place);
      image.src = place;
    }, () => {}); // a moment without its picture can still be played
    const when = `${clock(moment.start)} – ${clock(moment.end)}`;
    const button = make("button", { type: "button" }, image,
      make("span", { className: "file", textContent: lastPart(moment.source), title: moment.source }),
      make("span", { className: "when" }, make("span", { textContent: when }),
        make("span", { textContent: moment.score.toFixed(3), title: "similarity" })));
    button.addEventListener("click", () => show(moment, when));
    return make("li", {}, button);
  }));
}

async function show(moment, when) {
  const video = byId("moment-video");
  leave();
  byId("moment-title").textContent = lastPart(moment.source);
  byId("moment-hint").textContent = when;
  byId("moment").showModal();
  if (!isInHistory()) intoHistory();
  shown = moment;
  try {
    const place = await playable(`index/${moment.file}`);
    if (shown !== moment) return URL.revokeObjectURL(place); // closed meanwhile
    video.src = `${place}#t=${moment.start}`;
    await video.play();
  } catch (trouble) { // a browser that wants a click first shows its own controls
    if (trouble.what) byId("moment-hint").textContent = trouble.what;
  }
  return undefined;
}
