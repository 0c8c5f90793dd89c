/* One video: drop it, name labels, see scores, moments and frames. The file is sent once; the service
   keeps what the model saw, so that other labels are answered without sending it again. */

import { drawFrames, drawFramesHint, drawRemarks, drawScores, spoken } from "./answers.js";
import { Trouble, ask, prepare, tooLarge, upload } from "./api.js";
import { byId, clock, make, megabytes, showTrouble } from "./dom.js";
import { listenForDrops } from "./drop.js";
import { between, drawRecipes, files, recipes, save } from "./elsewhere.js";
import { gate } from "./gate.js";
import { Chips, split } from "./labels.js";
import { prepareSearch } from "./search.js";
import { Timeline } from "./timeline.js";
import { drawPlaces, drawWhy, forgetWhy } from "./why.js";

const PATIENCE = 250; // milliseconds after the last change before scores are asked for
const state = { about: { name: "", labels: [], limit: 0, index: null }, file: null, kept: null, seconds: 0,
  answer: null, timeline: null, all: false, window: 2, stride: 0.5,
  get cut() { return `${this.window} ${this.stride}`; }, underway: "" }; // the cut being sent
const video = byId("film");
const chips = new Chips({ form: byId("labels-form"), list: byId("chips"), input: byId("label"), changed, say });
const timeline = new Timeline(byId("timeline"), byId("segments"), seek);
const whyBoxes = ["why-hint", "places-hint", "places"].map(byId);
let sending = new AbortController();
let asking = new AbortController();
let timer = 0;

function say(text) {
  byId("spoken").textContent = text;
}

/** Say how long a busy server is waited for; the text is said once, the seconds are only shown. */
function waiting(seconds, hurry) {
  byId("waiting").hidden = !seconds;
  byId("waiting-seconds").textContent = `Trying again in ${seconds} s.`;
  byId("waiting-now").onclick = hurry;
  byId("status").textContent = seconds ? "The server is busy." : "";
}

/** The player's clock at the first frame: the sound may begin before it. */
const begins = () => state.timeline?.begins ?? 0;

function seek(seconds) {
  if (video.readyState > 0) video.currentTime = begins() + seconds;
  timeline.at(seconds);
}

/* Sending a video */

async function open(file, dropped = 1) {
  sending.abort();
  asking.abort();
  Object.assign(state, { file, dropped, kept: null, seconds: 0, answer: null, timeline: null });
  forget();
  showRecipes();
  const trouble = tooLarge(file, state.about.limit);
  if (trouble) {
    empty();
    return fail(trouble);
  }
  play(file);
  return send();
}

/** Put the file into the player; the browser reads it itself, nothing is sent for that. */
function play(file) {
  URL.revokeObjectURL(video.src);
  video.removeAttribute("data-known");
  video.src = URL.createObjectURL(file);
  byId("unplayable").hidden = true;
  describe(megabytes(file.size));
  byId("drop").hidden = true;
  byId("player").hidden = false;
}

/** What is in the player; `more` is its size, or its length. */
function describe(more) {
  const first = state.dropped > 1 ? ` · the first of ${state.dropped} files: one at a time` : "";
  byId("about").textContent = `${state.file.name} · ${more}${first}`;
}

/** Send the file to be seen from beginning to end; with what is kept then, labels are asked for by `score`. */
async function send() {
  sending.abort(); // one at a time
  sending = new AbortController();
  const { signal } = sending;
  state.underway = state.cut;
  doing(`Sending ${state.file.name}`, 0);
  try {
    const progress = (part) => (part < 1
      ? doing(`Sending ${state.file.name}: ${Math.floor(100 * part)}%`, part)
      : doing("Looking at the frames"));
    const fields = { labels: "anything", window: state.window, stride: state.stride };
    arrived(await upload("timeline", state.file, fields, { signal, progress }), signal);
  } catch (trouble) {
    if (trouble.name === "AbortError") return;
    outdated();
    if (!state.kept) empty(); // a player with a file that nobody can read says nothing
    fail(trouble, { "Try again": send, "Another video": choose });
  } finally {
    if (signal === sending.signal) {
      state.underway = "";
      byId("work").hidden = true;
    }
  }
}

function doing(text, part) {
  byId("trouble").hidden = true;
  byId("doing").textContent = text;
  if (part === undefined) byId("progress").removeAttribute("value");
  else byId("progress").value = 100 * part;
  byId("work").hidden = false;
}

function arrived(seen, signal) {
  const { error, seconds } = seen;
  if (!seen.video) {
    throw new Trouble(error ?? { code: "not_kept", message: "This video is too much for what the server may keep.",
      hint: "Cut it shorter, or use the command line." });
  }
  state.kept = seen.video;
  if (byId("player").hidden) play(state.file);
  state.seconds = seconds || (Number.isFinite(video.duration) ? video.duration : 0);
  describe(clock(state.seconds));
  if (error) fail(new Trouble(error));
  say("The video has been read.");
  score(true);
  showFrames(signal);
}

async function showFrames(signal) {
  try {
    const { frames } = await ask(`videos/${encodeURIComponent(state.kept)}/frames`, undefined, { signal });
    byId("frames-part").hidden = !frames.length;
    drawFrames(byId("frames"), frames, seek);
    hintFrames();
  } catch (trouble) {
    if (trouble.name !== "AbortError") byId("frames-part").hidden = true;
  }
}

/* Scores */

function changed() {
  sessionStorage.setItem("labels", JSON.stringify(chips.labels));
  byId("clear").hidden = !chips.labels.length;
  asking.abort();
  clearTimeout(timer);
  timer = setTimeout(() => score(), PATIENCE);
  hint();
  showRecipes();
}

function question() {
  return { video: state.kept, name: state.file.name, labels: chips.labels, reject: split(byId("reject").value) };
}

/** Ask for what the labels are now; `fresh` right after the file was sent. */
async function score(fresh = false) {
  clearTimeout(timer);
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  if (state.underway && state.underway !== state.cut) return send();
  if (!state.kept || !chips.labels.length) return forget();
  byId("scores").classList.add("stale");
  byId("timeline").classList.add("stale");
  if (state.underway && !fresh) return undefined; // it asks when it arrives
  try {
    showScores(await ask("classify", { ...question(), top_k: null }, { signal }));
    byId("timeline-part").hidden = false;
    if (!state.timeline) byId("timeline-hint").textContent = "Looking for the moments…";
    showTimeline(await ask("timeline", { ...question(), ...times() }, { signal }));
  } catch (trouble) {
    if (trouble.name === "AbortError") return undefined;
    // kept for a while only, or seen in other windows: the file is still here
    if (trouble.code === "other_frames" || (trouble.code === "unknown_video" && !fresh)) return send();
    byId("timeline-hint").textContent = "";
    outdated();
    fail(trouble, { "Try again": () => score() });
  }
  return undefined;
}

/** What answers an earlier question stays in sight, grey, and cannot be taken along or looked into. */
function outdated() {
  if (byId("timeline").classList.contains("stale")) state.timeline = null;
  if (byId("scores").classList.contains("stale")) {
    state.answer = null;
    for (const id of ["all-scores", "why-part"]) byId(id).hidden = true;
  }
  byId("downloads").hidden = !state.answer;
  if (state.answer) showDownloads();
}

function forget() {
  Object.assign(state, { answer: null, timeline: null });
  for (const id of ["scores", "remarks"]) byId(id).replaceChildren();
  for (const id of ["timeline-part", "all-scores", "downloads", "why-part"]) byId(id).hidden = true;
  if (!state.kept) byId("frames-part").hidden = true;
  forgetWhy(byId("frames"), whyBoxes);
  hintFrames();
  hint();
}

function hintFrames() { // pictures may come before the scores, and after
  drawFramesHint(byId("frames-hint"), state.answer, byId("frames").childElementCount);
}

function hint() {
  const own = state.about.labels;
  const text = !chips.labels.length ? "Name what could happen, and each label gets a score."
    : !state.file ? "Now a video." : "";
  byId("scores-hint").replaceChildren(text);
  if (chips.labels.length || !own.length) return;
  const button = make("button", { type: "button", className: "link", textContent: `Use the ${own.length} labels this model was trained on` });
  button.addEventListener("click", () => chips.add(own));
  byId("scores-hint").append(" ", button);
}

function showScores(answer) {
  state.answer = answer;
  if (!answer.error) byId("trouble").hidden = true;
  byId("scores").classList.remove("stale");
  drawScores(byId("scores"), answer.scores, state.all, byId("all-scores"));
  drawRemarks(byId("remarks"), answer);
  say(spoken(answer.scores));
  hintFrames();
  byId("why-part").hidden = false;
  forgetWhy(byId("frames"), whyBoxes);
  showDownloads();
}

function showTimeline(found) {
  state.timeline = found;
  byId("timeline").classList.remove("stale");
  const nothing = found.segments.length === 0;
  byId("timeline-hint").textContent = nothing ? "No label stands out for long enough." : "";
  byId("timeline").hidden = false;
  byId("segments-part").hidden = nothing;
  timeline.draw(found, state.seconds);
  timeline.at((video.currentTime || 0) - begins());
  showDownloads();
}

/** What carried the answer, frames and places: looked at once more, for the labels of now. */
async function explain() {
  const { signal } = asking;
  byId("why").disabled = true;
  byId("why-hint").textContent = "Looking at the video without each of its frames…";
  try {
    const fields = { labels: between(chips.labels), reject: between(split(byId("reject").value)), maps: "auto" };
    const { explanation, pictures } = await upload("explain", state.file, fields, { signal, progress() {} });
    byId("why-hint").textContent = drawWhy(byId("frames"), explanation);
    byId("places-hint").textContent = await drawPlaces(byId("places"), explanation, pictures, seek);
  } catch (trouble) {
    byId("why-hint").textContent = "";
    if (trouble.name !== "AbortError") fail(trouble);
  }
  byId("why").disabled = false;
}

/* Taking it along */

function times() {
  return { window: state.window, stride: state.stride, multi_label: byId("several").checked };
}

function showRecipes() {
  const { name, precision } = state.about;
  drawRecipes(byId("recipes"), recipes({ file: state.file?.name, model: name, precision, labels: chips.labels,
    reject: split(byId("reject").value), times: times() }), say);
}

function showDownloads() {
  const stem = state.file.name.replace(/\.[^.]*$/, "") || "video";
  byId("downloads").hidden = false;
  byId("downloads").replaceChildren(...Object.entries(files(state.answer, state.timeline)).map(([textContent, [ending, text]]) => {
    const button = make("button", { type: "button", textContent });
    button.addEventListener("click", () => save(`${stem}.${ending}`, text));
    return button;
  }));
}

/* What can go wrong, and nothing yet */

function fail(trouble, actions = {}) {
  showTrouble(byId("trouble"), trouble, actions);
}

function empty() {
  video.removeAttribute("src");
  byId("player").hidden = true;
  byId("drop").hidden = false;
}

function choose() {
  byId("file").value = "";
  byId("file").click();
}

/* From here on: who listens to what */

function listen() {
  byId("file").addEventListener("change", ({ target }) => target.files[0] && open(target.files[0]));
  byId("another").addEventListener("click", choose);
  byId("cancel").addEventListener("click", () => {
    sending.abort();
    asking.abort();
    byId("work").hidden = true;
    Object.assign(state, { file: null, kept: null, underway: "" });
    empty();
    forget();
    byId("file").focus();
  });
  byId("clear").addEventListener("click", () => {
    chips.set([]);
    byId("label").focus();
    changed();
  });
  byId("all-scores").addEventListener("click", () => {
    state.all = !state.all;
    drawScores(byId("scores"), state.answer.scores, state.all, byId("all-scores"));
  });
  byId("why").addEventListener("click", explain);
  byId("reject").addEventListener("change", changed);
  byId("several").addEventListener("change", changed);
  for (const id of ["window", "stride"]) {
    byId(id).value = state[id];
    byId(id).addEventListener("change", ({ target }) => {
      if (!target.checkValidity() || !target.value) return target.reportValidity();
      state[id] = Number(target.value);
      return changed();
    });
  }
  addEventListener("hashchange", show);
  listenForDrops((file, dropped) => {
    location.hash = "video";
    open(file, dropped);
  });
  listenToPlayer();
}

function listenToPlayer() {
  video.addEventListener("error", () => { byId("unplayable").hidden = !video.hasAttribute("src"); });
  video.addEventListener("loadedmetadata", () => { video.dataset.known = ""; });
  video.addEventListener("seeked", () => timeline.at(video.currentTime - begins()));
  video.addEventListener("timeupdate", () => timeline.at(video.currentTime - begins()));
  video.addEventListener("play", function step() {
    timeline.at(video.currentTime - begins());
    if (!video.paused) requestAnimationFrame(step);
  });
}

/** Show the view that the address names. */
function show() {
  if (!["", "#video", "#search"].includes(location.hash)) return;
  const searching = location.hash === "#search";
  byId("view-video").hidden = searching;
  byId("view-search").hidden = !searching;
  for (const [id, here] of [["to-video", !searching], ["to-search", searching]]) {
    if (here) byId(id).setAttribute("aria-current", "page");
    else byId(id).removeAttribute("aria-current");
  }
  if (!searching) return;
  video.pause(); // or one would hear what one cannot see
  byId("query").focus();
}

async function start() {
  prepare({ gate, waiting });
  listen();
  show();
  chips.set(JSON.parse(sessionStorage.getItem("labels") ?? "[]"));
  byId("clear").hidden = !chips.labels.length;
  hint();
  try {
    const { serving } = await ask("models");
    const { limits, index } = await ask("health");
    Object.assign(state.about, serving, { limit: limits.upload, index });
  } catch (trouble) {
    return fail(trouble, { "Try again": () => location.reload() });
  }
  introduce();
  return undefined;
}

function introduce() {
  const { name, precision, frames, windows, limit, random_weights: random, labels, index } = state.about;
  byId("model").textContent = `${name} · ${precision} · ${frames * windows} frames`;
  byId("limit").textContent = limit ? `Up to ${megabytes(limit)}. It is read on this server and goes nowhere else.` : "";
  byId("known").replaceChildren(...labels.map((value) => make("option", { value })));
  byId("warning").hidden = !random;
  byId("warning").textContent = "This model has random weights: it has learned nothing, and its scores mean nothing.";
  prepareSearch(index);
  hint();
  showRecipes();
}

start();
