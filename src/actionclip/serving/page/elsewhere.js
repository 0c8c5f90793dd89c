/* The same answer elsewhere: as a command, in Python, over HTTP, and as files to keep.

   Labels and file names are anybody's words; each is quoted for the language it goes into. */

import { address, asksForToken } from "./api.js";
import { make } from "./dom.js";

/** A word for a POSIX shell. */
export function shell(word) {
  return /^[\w@%+=:,./-]+$/.test(word) && !word.startsWith("-") ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** A string of Python; what cannot be seen, or turns the writing round, is escaped. */
export function python(text) {
  const escaped = (c) => (c.codePointAt(0) > 0xffff ? `\\U${hex(c, 8)}` : `\\u${hex(c, 4)}`);
  return JSON.stringify(text).replace(/[^\x20-\x7e\p{L}\p{M}\p{N}\p{P}\p{S}]/gu, escaped);
}

function hex(character, digits) {
  return character.codePointAt(0).toString(16).padStart(digits, "0");
}

/** Labels as `--labels` takes them: words between commas, quoted where they could be misread. */
export function between(labels) {
  const risky = (label) => labels.length === 1 || /[",\n]|\.(txt|csv|json)$/i.test(label);
  return labels.map((label) => (risky(label) ? `"${label.replaceAll('"', '""')}"` : label)).join(", ");
}

/** A file name that no program takes for an option or the standard input. */
function named(file) {
  return file.startsWith("-") ? `./${file}` : file;
}

/** A file name in a form of curl, which reads `;` and `,` its own way unless they are quoted. */
function curled(file) {
  return /[;,"\\]|^\s|\s$/.test(file) ? `"${file.replace(/["\\]/g, "\\$&")}"` : file;
}

/** Command, Python and HTTP for what is on the screen: `{title: text}`. */
export function recipes({ file, model, precision, labels, reject, times }) {
  const source = named(file || "video.mp4");
  const words = labels.length ? labels : ["running", "waving one hand"];
  const rejected = reject.length ? [` \\\n    --reject ${shell(between(reject))}`, `, reject=[${reject.map(python).join(", ")}]`] : ["", ""];
  const same = precision ? ` --precision ${precision}` : ""; // the command would choose by its own machine
  const base = `${shell(source)} --model ${shell(model)}${same} \\\n    --labels ${shell(between(words))}`;
  const count = words.length + (reject.length ? 1 : 0);
  const all = count > 5; // of more, command and service tell the first five unless asked
  const commands = [`actionclip classify ${base}${rejected[0]}${all ? ` \\\n    --top-k ${count}` : ""}`];
  const lines = [
    "import actionclip",
    "",
    `labels = [${words.map(python).join(", ")}]`,
    `with actionclip.load(${python(model)}${precision === "bf16" ? ', precision="bf16"' : ""}) as model:`,
    `    scores = model.classify(${python(source)}, labels, top_k=None${rejected[1]})`,
  ];
  const { window, stride, multi_label: several } = times;
  commands.push(`actionclip timeline ${base}${rejected[0]} \\\n    --window ${window} --stride ${stride}${several ? " --multi-label" : ""}`);
  lines.push(`    timeline = model.timeline(${python(source)}, labels, window=${window}, stride=${stride}${several ? ", multi_label=True" : ""}${rejected[1]})`);
  const fields = [`labels=${between(words)}`, ...(reject.length ? [`reject=${between(reject)}`] : []), ...(all ? ["top_k="] : [])];
  const request = [
    `curl -F ${shell(`file=@${curled(source)}`)}`,
    ...(asksForToken() ? ['-H "Authorization: Bearer $ACTIONCLIP_TOKEN"'] : []),
    ...fields.map((field) => `--form-string ${shell(field)}`),
    shell(address("classify")),
  ];
  return { "Command line": commands.join("\n"), HTTP: request.join(" \\\n    "), Python: lines.join("\n") };
}

/** Draw the recipes, each with a button that copies it. */
export function drawRecipes(box, texts, say) {
  box.replaceChildren(...Object.entries(texts).map(([title, text]) => {
    const code = make("pre", { textContent: text, tabIndex: 0, ariaLabel: title });
    code.setAttribute("role", "region");
    const copy = make("button", { type: "button", className: "link", textContent: "Copy", ariaLabel: `Copy: ${title}` });
    copy.addEventListener("click", async () => {
      getSelection().selectAllChildren(code);
      try {
        await navigator.clipboard.writeText(text);
        say(`Copied: ${title}.`);
      } catch {
        say("Selected: copy it with the keyboard.");
      }
    });
    return make("div", { className: "recipe" }, make("div", {}, make("span", { textContent: title }), copy), code);
  }));
}

/** What can be kept as files, in the form that the command line writes: `{title: [ending, text]}`. */
export function files(answer, timeline) {
  const { source, status, scores } = answer;
  const found = {
    "Scores as JSON": ["json", json(answer)],
    "Scores as CSV": ["csv", csv([["source", "status", "rank", "label", "score"],
      ...scores.map(({ label, score }, i) => [source, status, i + 1, label, score.toFixed(6)])])],
  };
  if (!timeline) return found;
  const { segments, begins } = timeline;
  const played = segments.map((one) => ({ ...one, start: one.start + begins, end: one.end + begins }));
  return { ...found,
    "Timeline as JSON": ["timeline.json", json(timeline)],
    "Timeline as CSV": ["timeline.csv", csv([["source", "start", "end", "label", "score"],
      ...segments.map(({ start, end, label, score }) => [source, start.toFixed(3), end.toFixed(3), label, score.toFixed(6)])])],
    "Subtitles (SRT)": ["srt", played.map(cue).join("\n")] };
}

function json(row) {
  return `${JSON.stringify(row)}\n`;
}

function csv(rows) {
  const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
  return rows.map((row) => `${row.map(String).map(cell).join(",")}\n`).join("");
}

/** A subtitle. SubRip cannot escape `<` and `{`: a word joiner after them keeps them text. */
function cue({ start, end, label, score }, place) {
  const text = label.replace(/(?![\u200c\u200d])[\p{C}\p{Zl}\p{Zp}]/gu, " ").replace(/-{2,}>/g, "->").trim().replace(/[<{]/g, "$&\u2060");
  return `${place + 1}\n${stamp(start)} --> ${stamp(end)}\n${text} (${Math.round(100 * score)}%)\n`;
}

function stamp(seconds) {
  const whole = Math.round(1000 * seconds);
  const parts = [Math.floor(whole / 3_600_000), Math.floor(whole / 60_000) % 60, Math.floor(whole / 1000) % 60];
  return `${parts.map((part) => String(part).padStart(2, "0")).join(":")},${String(whole % 1000).padStart(3, "0")}`;
}

/** Let the browser keep `text` as a file. */
export function save(name, text) {
  const link = make("a", { href: URL.createObjectURL(new Blob([text])), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}
