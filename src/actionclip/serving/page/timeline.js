/* When it happens: a row for each label, in step with the player. Times are in seconds. */

import { clock, make, percent } from "./dom.js";

const STEPS = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600, 7200];
const ROWS = 16;

export class Timeline {
  /** `seek(seconds)` is called where somebody points, presses or chooses. */
  constructor(root, table, seek) {
    Object.assign(this, { root, table, seek, segments: [], duration: 0, now: 0 });
    root.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("pointerdown", (event) => this.pointed(event));
    root.addEventListener("pointermove", (event) => event.buttons === 1 && this.dragged && this.to(event));
    root.addEventListener("pointerup", () => { this.dragged = false; });
    new ResizeObserver(() => this.drawAxis()).observe(root);
  }

  /** Draw an answer: its `labels`, `times`, `scores` [times, labels] and `segments`. */
  draw({ labels, times, scores, segments }, duration) {
    this.duration = duration;
    this.segments = [...segments].sort((a, b) => a.start - b.start);
    const found = new Set(segments.map(({ label }) => label));
    const shown = labels.length > ROWS ? labels.filter((label) => found.has(label)) : labels;
    this.rows = shown.map((label) => this.row(label, times, scores.map((row) => row[labels.indexOf(label)])));
    this.axis = make("div", { className: "axis" });
    this.axis.setAttribute("aria-hidden", "true");
    this.root.replaceChildren(...this.rows.flatMap(({ name, track }) => [name, track]), this.axis, this.head());
    this.buttons = [...this.root.querySelectorAll(".segment")];
    if (this.buttons[0]) this.buttons[0].tabIndex = 0;
    this.drawAxis();
    this.drawTable();
    this.at(this.now);
  }

  row(label, times, scores) {
    const name = make("div", { className: "name", textContent: label });
    const mine = this.segments.filter((segment) => segment.label === label);
    const buttons = mine.map((segment) => {
      const said = `${label}, ${clock(segment.start)} to ${clock(segment.end)}, ${percent(segment.score)}`;
      const button = make("button", { type: "button", className: "segment", ariaLabel: said, title: said, tabIndex: -1 });
      button.style.left = this.place(segment.start);
      button.style.width = percent((segment.end - segment.start) / this.duration);
      button.addEventListener("click", () => this.seek(segment.start));
      return button;
    });
    const track = make("div", { className: "track" }, curve(times, scores, this.duration), ...buttons);
    track.setAttribute("role", "group");
    track.ariaLabel = mine.length ? `${label}: segments` : `${label}: nowhere`;
    return { name, track, mine, buttons };
  }

  head() {
    this.knob = make("b", { tabIndex: 0 });
    this.knob.setAttribute("role", "slider");
    this.knob.ariaLabel = "Playhead";
    this.knob.ariaValueMin = "0";
    this.knob.ariaValueMax = this.duration.toFixed(1);
    this.line = make("div", { className: "playhead" }, this.knob);
    return make("div", { className: "over-tracks" }, this.line);
  }

  drawAxis() {
    if (!this.axis || !this.duration) return;
    const fits = Math.max(2, Math.floor(this.axis.clientWidth / 70));
    const step = STEPS.find((seconds) => this.duration / seconds <= fits) ?? this.duration;
    const marks = Array.from({ length: Math.floor(this.duration / step) + 1 }, (_, i) => i * step);
    this.axis.replaceChildren(...marks.map((seconds) => {
      const mark = make("span", { textContent: clock(seconds, step >= 1) });
      const part = seconds / this.duration;
      mark.className = part < 0.02 ? "first" : part > 0.96 ? "last" : "";
      mark.style.left = this.place(seconds);
      return mark;
    }));
  }

  drawTable() {
    const head = ["Start", "End", "Label", "Score"].map((textContent) => make("th", { textContent, scope: "col" }));
    const lines = this.segments.map(({ start, end, label, score }) => {
      const go = make("button", { type: "button", className: "link", textContent: clock(start), ariaLabel: `Go to ${clock(start)}` });
      go.addEventListener("click", () => this.seek(start));
      const rest = [clock(end), label, percent(score)].map((textContent) => make("td", { textContent }));
      return make("tr", {}, make("td", {}, go), ...rest);
    });
    this.table.replaceChildren(make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...lines));
  }

  place(seconds) {
    return percent(Math.min(Math.max(seconds / this.duration, 0), 1));
  }

  /** Move the playhead. */
  at(seconds) {
    this.now = seconds;
    if (!this.line) return;
    this.line.style.left = this.place(seconds);
    this.knob.ariaValueNow = seconds.toFixed(1);
    this.knob.ariaValueText = clock(seconds);
    for (const { name, mine, buttons } of this.rows) {
      const inside = mine.map(({ start, end }) => start <= seconds && seconds < end);
      name.classList.toggle("now", inside.includes(true));
      buttons.forEach((button, i) => button.classList.toggle("now", inside[i]));
    }
  }

  pointed(event) {
    if (event.button !== 0 || !event.target.closest(".track, .axis, .playhead b")) return;
    this.dragged = !event.target.closest(".segment");
    if (this.dragged) this.to(event);
  }

  to(event) {
    const { left, width } = this.axis.getBoundingClientRect();
    this.seek(Math.min(Math.max((event.clientX - left) / width, 0), 1) * this.duration);
  }

  /** Arrows: on the playhead through time, on a segment to its neighbours and to other rows. */
  key(event) {
    const sideways = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const updown = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const ends = { Home: 0, End: 1 }[event.key];
    if (event.target === this.knob) {
      const step = event.shiftKey ? 5 : 0.5;
      const way = sideways ?? (updown === undefined ? undefined : -updown);
      if (ends === undefined && way === undefined) return;
      const wanted = ends === undefined ? this.now + way * step : ends * this.duration;
      this.seek(Math.min(Math.max(wanted, 0), this.duration));
    } else if (event.target.matches(".segment")) {
      const next = this.neighbour(event.target, sideways, updown, ends);
      if (!next) return;
      event.target.tabIndex = -1;
      next.tabIndex = 0;
      next.focus();
    } else return;
    event.preventDefault();
  }

  neighbour(button, sideways, updown, ends) {
    if (ends !== undefined) return this.buttons.at(ends ? -1 : 0);
    if (sideways !== undefined) return this.buttons[this.buttons.indexOf(button) + sideways];
    if (updown === undefined) return undefined;
    const filled = this.rows.filter(({ buttons }) => buttons.length);
    const row = filled[filled.findIndex(({ buttons }) => buttons.includes(button)) + updown];
    const far = (other) => Math.abs(parseFloat(other.style.left) - parseFloat(button.style.left));
    return row?.buttons.reduce((best, other) => (far(other) < far(best) ? other : best));
  }
}

/** The score of a label over time, as a soft hill behind its segments. */
function curve(times, scores, duration) {
  const shape = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  shape.setAttribute("viewBox", "0 0 1000 100");
  shape.setAttribute("preserveAspectRatio", "none");
  shape.setAttribute("aria-hidden", "true");
  if (!times.length) return shape;
  const path = document.createElementNS(shape.namespaceURI, "path");
  const points = times.map((time, i) => `${((1000 * time) / duration).toFixed(1)} ${(100 - 100 * scores[i]).toFixed(1)}`);
  const [first, last] = [points[0].split(" ")[1], points.at(-1).split(" ")[1]];
  path.setAttribute("d", `M0 100L0 ${first}L${points.join("L")}L1000 ${last}L1000 100Z`);
  shape.append(path);
  return shape;
}
