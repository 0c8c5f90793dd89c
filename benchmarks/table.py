"""Puts what the benchmarks found into the README, between the marks, and nothing by hand.

    python benchmarks/classify.py | tee line.json     (and so on for each benchmark)
    python benchmarks/table.py line.json ...

The last line of each file replaces what `results.jsonl` holds of that benchmark; without files the
table is only written again.
"""

import argparse
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

HERE = Path(__file__).parent
RESULTS, README = HERE / "results.jsonl", HERE.parent / "README.md"
BEGIN, END = "<!-- benchmarks:begin -->", "<!-- benchmarks:end -->"

Result: TypeAlias = Mapping[str, Any]


def classify(result: Result) -> list[str]:
    """Videos a second, end to end."""
    ways = ["ours", "straightforward", "straightforward, labels cached", "X-CLIP", "only decoding"]
    heads = ["ours", "straightforward", "…its labels cached", "X-CLIP", "only decoding"]
    rows, answers = [], []
    for name, row in result["rows"].items():
        if "videos/s" in row:
            rates = row["videos/s"]
            products = rates[f"only matrix products, {row['precision']}"]
            cells = [_rate(rates.get(way)) for way in ways] + [_rate(products)]
            gain = f"**{row['ours is faster']['straightforward']:.1f}x**"
            work = row["processor seconds a video"]
            less = f"{work['straightforward'] / max(work['ours'], 1e-3):.1f}x"
            rows.append([f"{name} ({row['precision']})", *cells, gain, less])
        elif "same first label" in row:
            tower, same = name.split(",")[0], row["same first label"]
            answers.append(
                f"{tower}: the straightforward program's first label on {same['ours']:.1%} of "
                f"{row['clips']} clips ({same['ours, fp32']:.1%} in fp32){_close_calls(row)}."
            )
    memory = ", ".join(f"{key} {value}" for key, value in result["rows"]["memory"].items())
    return [
        f"**Videos a second** (10 s of H.264, {result['frames']} frames, {result['labels']} labels,"
        " CPU, random weights; [what is compared](benchmarks/classify.py)):",
        "",
        *_table(["", *heads, "only matrix products", "gain", "in processor time"], rows),
        "",
        f"{' '.join(answers)} Memory of the process: {memory}.",
    ]


def decode(result: Result) -> list[str]:
    """Milliseconds for the frames of one file, each way on one core."""
    ways = ["ours", "pyav read-through", "opencv read-through", "pyav seek", "opencv seek"]
    ways += ["torchcodec", "ffmpeg"]
    ways = [way for way in ways if way not in result["absent"]]
    rows = [
        [
            name,
            *(_milliseconds(row["one core"][way]) for way in ways),
            f"{row['one core']['best exact / ours']:.2f}x",
        ]
        for name, row in result["rows"].items()
    ]
    return [
        "**Milliseconds of a core to get frames out of a video**, full size; in brackets how many "
        "are not the frames asked for ([what is compared](benchmarks/decode.py)):",
        "",
        *_table(["", *ways, "gain over the best exact one"], rows),
    ]


def text(result: Result) -> list[str]:
    """One sentence."""
    return [
        f"**{result['labels']} labels x {result['templates']} templates** ({result['model']}): "
        f"{result['seconds']:.0f} s in place of {result['seconds_77_tokens']:.0f} s "
        f"({result['times_faster']:.1f}x, largest difference "
        f"{result['largest_difference']:.0e}), {result['times_faster_bf16']:.1f}x with "
        f"`model.cast(torch.bfloat16)`; "
        f"the second time {result['ms_from_memory']:.0f} ms, "
        f"from disk {result['ms_from_disk']:.0f} ms ([how](benchmarks/text.py))."
    ]


def evaluation(result: Result) -> list[str]:
    """A line for each kind of clip."""
    rows = []
    for name, row in result["rows"].items():
        work, frames = row["processor seconds a clip"], row["frames through the tower"]
        cells = [f"{work['naive']:.2f}", f"{work['ours']:.2f}", f"{row['ours is faster']:.1f}x"]
        rows.append([name, *cells, str(frames["naive"]), str(frames["ours"])])
    heads = ["", "thirty passes", "ours", "gain", "frames encoded by thirty passes", "by ours"]
    return [
        f"**Testing with {result['views']} views** ({result['model']}, {result['frames']} frames, "
        "random weights): processor seconds a clip ([what is compared](benchmarks/eval.py)):",
        "",
        *_table(heads, rows),
    ]


def search(result: Result) -> list[str]:
    """A line for each kind of query."""
    rows = []
    for name, row in result["rows"].items():
        times, work, found = row["p50 ms"], row["p50 ms of processor"], row["recall@10"]
        ways = ["index", "moments", "every window", "numpy"]
        cells = [f"{times[way]:.0f} ({work[way]:.0f})" for way in ways]
        gain = f"{row['times faster than numpy']:.1f}x"
        rows.append([name, *cells, gain, f"{found['index']:.3f}"])
    heads = ["query", "index", "moments", "every window", "numpy", "gain", "recall@10"]
    return [
        f"**Search among {result['vectors']:,} generated vectors x {result['width']}**: p50 of "
        "milliseconds, in brackets those of processor time "
        "([how they are generated](benchmarks/search.py)):",
        "",
        *_table(heads, rows),
        "",
        f"{result['partitions']} partitions, {result['probes']} of them looked into; building the "
        f"approximate index took {result['seconds to build']:.0f} s, "
        f"{result['MiB on disk'] / 1024:.1f} GiB on disk.",
    ]


def startup(result: Result) -> list[str]:
    """One sentence."""
    rows = result["rows"]
    worker = rows["a decoding worker"]
    return [
        f"**Starting**: the slowest `--help` takes {result['worst']:.2f} s, a decoding worker "
        f"{worker:.2f} s ([how](benchmarks/startup.py))."
    ]


def synthetic(result: Result) -> list[str]:
    """How fast people are rendered."""
    rate, slowest = result["clips_per_second_per_core"], result["lowest"]
    return [
        f"**Rendering people to learn from**: {rate:.0f} clips of {result['frames']} frames of "
        f"{result['size']} a second of a core, {slowest:.0f} in the slowest of {result['rounds']} "
        f"rounds of {result['clips']} ([how](benchmarks/synthetic.py)); the goal is 150."
    ]


def train_step(result: Result) -> list[str]:
    """Steps of each size, and whether they wait."""
    ways = ["ours", "ours, checkpointing", "plain open_clip", "only matrix products"]
    rows = []
    for name, row in result["rows"].items():
        rates, peaks = row["videos/s"], row["peak MiB"]
        cells = [f"{_rate(rates.get(w))} ({peaks[w]} MiB)" if w in peaks else "-" for w in ways[:3]]
        over = row.get("over the products")
        rows.append(
            [
                f"{name}, batch {row['batch']}",
                *cells,
                _rate(rates.get(ways[3])),
                f"{row['plain takes longer']:.2f}x",
                "-" if over is None else f"{over:.2f}x",
            ]
        )
    files = result["files"]
    unit = "" if result["gpu"] else " of a core"
    alone = files["loader alone, videos/s by decoders"]
    counts = " / ".join(alone), " / ".join(f"{rate:g}" for rate in alone.values())
    return [
        f"**Videos{unit} a second in a training step**, with the largest memory of the process "
        "([what is compared](benchmarks/train_step.py)):",
        "",
        *_table(["", *ways, "gain over plain", "time over the products"], rows),
        "",
        f"With real files ({files['size']}, {files['precision']}, {files['film']}) the loader "
        f"alone gives {counts[1]} videos a second with {counts[0]} decoding processes, and a run "
        f"of {files['steps']} steps waits for {files['share of a run that waits']:.1%} of its time."
        + "".join(_of_the_peak(result)),
    ]


def _of_the_peak(result: Result) -> Iterable[str]:
    """On a GPU: how much of it a step uses."""
    for name, row in result["rows"].items():
        if "ours, used" in row:
            used, plain = (row[f"{way}, used"] for way in ("ours", "plain open_clip"))
            yield (
                f" On one {result['gpu']} a step of {name} does {used['TFLOP/s']:.0f} TFLOP/s of "
                f"the image tower's matrix products, {used['share of the peak']:.0%} of the "
                f"card's bf16 peak (the goal is 45 %); plain open_clip "
                f"{plain['share of the peak']:.0%}."
            )


def stream(result: Result) -> list[str]:
    """From frame to label, live."""
    rows = [
        [
            f"{name} ({row['precision']})",
            *(
                f"{row[way]['median ms']:.0f} / {row[way]['p95 ms']:.0f}, {row[way]['dropped']:.0%}"
                for way in ("ours", "naive")
            ),
            f"**{row['naive / ours']:.1f}x**",
            *(f"{row[way]['processor ms a label']:.0f}" for way in ("ours", "naive")),
            f"**{row['naive / ours, processor']:.1f}x**",
        ]
        for name, row in result["rows"].items()
    ]
    return [
        "**From frame to label in a live stream**, milliseconds (median / 95 of 100) and the share "
        "of frames dropped, 25 frames a second; and milliseconds of a processor for a label "
        "([what is compared](benchmarks/stream.py)):",
        "",
        *_table(
            [
                *("", "ours", "whole window for every label", "gain"),
                *("ours, processor", "whole window, processor", "gain"),
            ],
            rows,
        ),
    ]


def serve(result: Result) -> list[str]:
    """Many clients at once."""
    statuses = ", ".join(f"{count} x {status}" for status, count in result["statuses"].items())
    rows = [
        [name, *(f"{times[key]:.0f}" for key in ("p50", "p99", "max"))]
        for name, times in (
            ("other labels for a kept video", result["ms"]["again"]),
            ("a small video to classify", result["ms"]["small"]),
            ("a small video to embed", result["ms"]["embed"]),
            (f"a video of {result['MB a large upload']} MB", result["ms"]["large"]),
            ("`/health` meanwhile", result["ms, health"]),
            ("other labels, when nothing else goes on", result["ms, known labels again, alone"]),
        )
    ]
    return [
        f"**The service under load**, `tiny`: {result['clients']} clients, {result['asked']} "
        f"requests in {result['seconds']:.0f} s ({statuses}); {result['lost']} lost, "
        f"{result['wrong']} wrong; its memory grew by {result['growth MiB']} MiB. Milliseconds to "
        "an answer, the waits after a 429 included ([what is asked](benchmarks/serve.py)):",
        "",
        *_table(["", "p50", "p99", "largest"], rows),
    ]


def timeline(result: Result) -> list[str]:
    """Both ways for each model, and the memory of long films."""
    rows = []
    for name, row in result["rows"].items():
        seconds, after = row["processor seconds"], row["of these after decoding"]
        frames = row["frames through the tower"]
        rows.append(
            [
                f"{name}, {row['windows']} windows",
                *(f"{seconds[w]:.1f}, {after[w]:.1f}" for w in ("every window", "ours")),
                f"{row['in processor time']:.1f}x",
                f"**{row['after decoding']:.1f}x**",
                f"{frames['every window']}, {frames['ours']}",
            ]
        )
    memory = "; ".join(
        f"{film['film, s'] / 60:.0f} min: {film['MiB']} MiB and {film['MiB of the decoder']} MiB, "
        f"{film['took, s']:.0f} s"
        for film in result["memory"]
    )
    heads = ["", "every window anew", "ours", "gain", "gain after decoding", "frames encoded"]
    return [
        f"**A timeline** with a window every {result['overlap']}th of a window: processor seconds "
        "with decoding and without ([what is compared](benchmarks/timeline.py)):",
        "",
        *_table(heads, rows),
        "",
        f"Most memory of the process and of its decoder, `tiny`: {memory}.",
    ]


SECTIONS = {
    "classify": classify,
    "decode": decode,
    "text": text,
    "eval": evaluation,
    "timeline": timeline,
    "search": search,
    "startup": startup,
    "synthetic": synthetic,
    "train_step": train_step,
    "train_step with 16 videos": train_step,
    "train_step on a GPU": train_step,
    "stream": stream,
    "serve": serve,
}


def _close_calls(row: Mapping[str, Any]) -> str:
    """By how little the first label leads on the clips where another one was found."""
    if not row.get("lead where it differs"):
        return ""
    lead, usual = max(row["lead where it differs"]), row["median lead"]
    return f"; the first label leads by {lead:.2%} at most where it differs, {usual:.2%} as a rule"


def _rate(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _milliseconds(cell: Mapping[str, Any]) -> str:
    return f"{cell['ms']:.0f}" + (f" ({cell['wrong']})" if cell["wrong"] else "")


def _table(heads: list[str], rows: Iterable[list[str]]) -> list[str]:
    line = "|".join(["---", *["---:"] * (len(heads) - 1)])
    return [f"| {' | '.join(row)} |" for row in [heads]] + [
        f"|{line}|",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def render(results: Mapping[str, Result]) -> str:
    """What stands between the marks."""
    parts = []
    for name, section in SECTIONS.items():
        if name in results:
            machine = results[name]["machine"]
            load = machine["load"][0]
            where = f"{machine['cpu']}, {machine['cores']} cores{_threads(machine)}, load {load:g}"
            versions = ", ".join(f"{key} {machine[key]}" for key in ("torch", "av"))
            footer = f"<sub>`{results[name]['command']}` on {where}; {versions}.</sub>"
            parts += [*section(results[name]), "", footer, ""]
    return "\n".join(parts).strip()


def _threads(machine: Mapping[str, Any]) -> str:
    """How many threads a program had, where it was not one for each core."""
    threads = machine.get("threads", machine["cores"])
    return "" if threads == machine["cores"] else f" ({threads} thread{'s' * (threads != 1)})"


def read_results(path: Path) -> dict[str, Result]:
    """The newest line of each benchmark."""
    lines = path.read_text().splitlines() if path.is_file() else []
    return {result["benchmark"]: result for result in map(json.loads, lines)}


def replaced(document: str, table: str) -> str:
    """The document with the table between its marks."""
    before, rest = document.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def main() -> None:
    """Take new results, write the table."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, help="what benchmarks printed on stdout")
    args = parser.parse_args()
    results = read_results(RESULTS)
    for path in args.files:
        result = json.loads(path.read_text().splitlines()[-1])
        results[result["benchmark"]] = result
    RESULTS.write_text("".join(json.dumps(result) + "\n" for result in results.values()))
    README.write_text(replaced(README.read_text(), render(results)))


if __name__ == "__main__":
    main()
