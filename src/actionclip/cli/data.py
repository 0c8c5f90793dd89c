"""`actionclip data`: what is in a data set, what is wrong with it, and splits of it."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actionclip.cli import options
from actionclip.cli.console import Progress, documented, harmless, is_terminal, say
from actionclip.cli.synth import synth
from actionclip.errors import ActionCLIPError, counted

if TYPE_CHECKING:
    from actionclip.data.inspection.report import Inspection
    from actionclip.data.layouts.recognise import Data
    from actionclip.data.manifest import Manifest

PROBLEMS = 3
SHOWN_CLASSES = 20

app = typer.Typer(
    help="Look at a data set, and split it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command()(synth)

DataPath = Annotated[
    Path,
    typer.Argument(
        help="A folder, a manifest (.csv, .parquet), or a list of a known data set.",
        show_default=False,
    ),
]
LayoutName = Annotated[
    str | None,
    typer.Option(
        "--layout",
        help="How it lies on disk: manifest, folders, ucf101, hmdb51, kinetics, ssv2, charades, "
        "activitynet, diving48, mmaction2, mmaction2-rawframes, slowfast, authors. "
        "Default: what is recognised.",
        show_default=False,
    ),
]
Root = Annotated[Path | None, typer.Option(help="The folder of the videos, where it is another.")]
ClassNames = Annotated[
    str | None,
    typer.Option(
        "--labels",
        help="Names of the classes in the order of their numbers: a file or a built-in set.",
        show_default=False,
    ),
]
NamesOfNumbers = Annotated[
    str | None,
    typer.Option(
        "--class-names",
        help="Names of the classes in the order of their numbers, where lists have numbers.",
        show_default=False,
    ),
]
"""The same where `--labels` are those that compete."""
Fold = Annotated[int, typer.Option(min=1, help="Which official split of UCF101 or HMDB51.")]
ChosenFold = Annotated[
    int | None,
    typer.Option(
        "--fold", min=1, help="Which official split. Default: the first.", show_default=False
    ),
]
Intervals = Annotated[
    bool,
    typer.Option(
        "--intervals", help="Charades, ActivityNet: a clip for each action, with its times."
    ),
]

INSPECT_EXAMPLES = """Examples:

  actionclip data inspect actions/ --sheet sheet.png

  actionclip data inspect ucf101/ --fold 2

  actionclip data inspect train_list.txt --root videos/ --labels names.txt --write manifest.csv
"""

SPLIT_EXAMPLES = """Examples:

  actionclip data split actions/ few-shot --shots 1,2 --output splits/

  actionclip data split ucf101/ base-to-novel --shots 16 --seed 1 --output splits/

  actionclip data split ucf101/ lists --train-list few_shot_1.txt --output splits/
"""

SHARDS_EXAMPLES = """Examples:

  actionclip data shards people/manifest.csv --output shards/

  actionclip data shards people/manifest.csv --split train --pairs 5000 --output train/
"""


@app.command()
def inspect(
    path: DataPath,
    layout: LayoutName = None,
    root: Root = None,
    labels: ClassNames = None,
    fold: Fold = 1,
    intervals: Intervals = False,
    sheet: Annotated[
        Path | None, typer.Option(help="Draw clips of each class into this PNG.")
    ] = None,
    write: Annotated[
        Path | None,
        typer.Option(help="Write the clips that can be read as a manifest (.csv, .parquet)."),
    ] = None,
    workers: options.Workers = None,
    timeout: options.Timeout = 10.0,
    decoder: options.DecoderName = "pyav",
    as_json: options.Json = False,
) -> None:
    """Open every video of a data set and say what is in it and what is wrong with it."""
    from dataclasses import replace

    from actionclip.data.inspection.opening import inspect as look
    from actionclip.data.inspection.sheet import choose, draw_sheet
    from actionclip.data.manifest import write_manifest
    from actionclip.video.decode import DecodePool
    from actionclip.video.settings import Limits

    data = read_as_said(path, layout, root, labels, fold, intervals)
    _check_outputs(sheet, write, data.manifest, [path, labels])
    drawn = choose(data.manifest) if sheet else {}
    keep = {row.path for rows in drawn.values() for row in rows}
    videos = len({row.path for row in data.manifest.rows})
    with (
        DecodePool(workers, Limits(seconds=timeout), decoder) as pool,
        Progress(videos) as progress,
    ):
        found = look(data, pool, seen=progress.add, keep=keep)
    typer.echo(json.dumps(found.to_dict()) if as_json else "\n".join(_report(found)))
    if sheet:
        draw_sheet(data.manifest, found.pictures, sheet)
        say(f"Clips of each class are drawn in {sheet}.")
    if write:
        useless = {*found.missing, *(file.path for file in found.bad)}
        rows = tuple(
            row for row in data.manifest.rows if row.path not in useless and row not in found.never
        )
        write_manifest(replace(data.manifest, rows=rows), write)
        say(f"{len(rows)} of {counted(len(data.manifest), 'clip is', 'clips are')} in {write}.")
    if found.problems:
        raise typer.Exit(PROBLEMS)


inspect.__doc__ = documented(inspect, INSPECT_EXAMPLES)


@app.command()
def split(
    path: DataPath,
    protocol: Annotated[
        str,
        typer.Argument(
            help="few-shot, base-to-novel, k600-zero-shot, half-classes, or lists.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="Folder for the manifests and splits.json.", file_okay=False
        ),
    ],
    shots: Annotated[
        str | None,
        typer.Option(
            help="Training clips of a class, between commas. Default: 1,2,4,8,16; "
            "for base-to-novel 16.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed draws other clips.")] = 0,
    draws: Annotated[int, typer.Option(min=1, help="Draws of half-classes.")] = 10,
    base: Annotated[
        str | None,
        typer.Option(help="The base classes: a file, or names between commas."),
    ] = None,
    train_list: Annotated[
        Path | None, typer.Option(help="For lists: a published list of clips to train on.")
    ] = None,
    test_list: Annotated[
        Path | None, typer.Option(help="For lists: a published list of clips to test on.")
    ] = None,
    layout: LayoutName = None,
    root: Root = None,
    labels: ClassNames = None,
    fold: Fold = 1,
    as_json: options.Json = False,
) -> None:
    """Draw the splits of a protocol and write them down, so that others can use them."""
    from actionclip.data import splits
    from actionclip.errors import unknown
    from actionclip.model.prompts.label_files import read_labels

    if protocol not in splits.PROTOCOLS:
        raise unknown("protocol", protocol, splits.PROTOCOLS)
    if (train_list or test_list) is None and protocol == "lists":
        raise ActionCLIPError(
            "No list was given.", hint="Name one with --train-list or --test-list."
        )
    numbers = _shots(shots)
    if protocol == "base-to-novel" and len(numbers) > 1:
        raise ActionCLIPError(
            f"--shots is {shots!r}.", expected="base-to-novel takes one number of clips of a class."
        )
    arguments: dict[str, dict[str, Any]] = {
        "few-shot": {"shots": numbers or splits.SHOTS, "seed": seed},
        "base-to-novel": {
            "shots": numbers[0] if numbers else 16,
            "seed": seed,
            "base": read_labels(base) if base else None,
        },
        "k600-zero-shot": {},
        "half-classes": {"draws": draws, "seed": seed},
        "lists": {"train": train_list, "test": test_list},
    }
    data = read_as_said(path, layout, root, labels, fold, False)
    say_notes(data)
    drawn = splits.PROTOCOLS[protocol](data.manifest, **arguments[protocol])
    drawn.write(output)
    for name, manifest in drawn.manifests.items():
        counts = {each: len(manifest.only(each)) for each in manifest.splits}
        row = {"file": str(output / f"{name}.csv"), "classes": len(manifest.classes), **counts}
        listed = ", ".join(f"{n} {each}" for each, n in counts.items())
        text = f"{row['file']}  {len(manifest.classes)} classes: {listed}"
        typer.echo(json.dumps(row) if as_json else text)
    say(f"How they were drawn stands in {output / splits.RECORD}: {drawn.rule}.")


split.__doc__ = documented(split, SPLIT_EXAMPLES)


@app.command()
def shards(
    path: DataPath,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for the shards.", file_okay=False)
    ],
    split: Annotated[
        str | None, typer.Option(help="Which rows. Default: all.", show_default=False)
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs in a shard.")] = 1000,
    layout: LayoutName = None,
    root: Root = None,
    labels: ClassNames = None,
    fold: Fold = 1,
    as_json: options.Json = False,
) -> None:
    """Write the clips of a data set that have captions as WebDataset shards, for pre-training.

    Files go in as they are: pictures and videos, each with its caption.
    """
    from actionclip.data.shards import write_shards

    data = read_as_said(path, layout, root, labels, fold, False)
    say_notes(data)
    manifest = data.manifest
    if split is not None:
        manifest = manifest.only(split)
    written = write_shards(manifest, output, pairs_each=pairs)
    count = sum(bool(row.caption) for row in manifest.rows)
    say(f"{counted(count, 'pair is', 'pairs are')} in {counted(len(written), 'shard')}.")
    say(f"A recipe reads them with: shards = '{output}/pairs-*.tar'")
    summary = {"pairs": count, "shards": [str(path) for path in written]}
    typer.echo(json.dumps(summary) if as_json else "\n".join(summary["shards"]))


shards.__doc__ = documented(shards, SHARDS_EXAMPLES)


def read_as_said(
    path: Path,
    layout: str | None,
    root: Path | None,
    labels: str | None,
    fold: int,
    intervals: bool,
) -> "Data":
    """A data set, with what the options of a command say about it."""
    from actionclip.data import label_sets
    from actionclip.data.layouts.base import Options
    from actionclip.data.layouts.recognise import read_data
    from actionclip.model.prompts.label_files import read_labels

    def built_in(name: str) -> list[str] | None:
        return label_sets.load(name) if name in label_sets.names() else None

    names = tuple(read_labels(labels, known=built_in)) if labels else None
    return read_data(path, layout=layout, options=Options(root, names, fold, intervals))


def say_notes(data: "Data") -> None:
    """What a careful reader would want to know, on stderr."""
    for note in data.notes:
        say(f"note: {note}")


def _check_outputs(
    sheet: Path | None, write: Path | None, manifest: "Manifest", inputs: list[str | Path | None]
) -> None:
    """Refuse, before every video is opened, what could not be written or would destroy data."""
    from actionclip.data.manifest import check_format

    if sheet is not None and not options.is_picture("--sheet", sheet):
        raise ActionCLIPError(f"--sheet is {sheet}.", expected="A picture is written as a .png.")
    if write is not None:
        check_format(write)
    outputs = [one for one in (sheet, write) if one is not None]
    videos = [manifest.path_of(row) for row in manifest.rows if any(o.exists() for o in outputs)]
    options.check_outputs([], [*inputs, *videos], failures=None, outputs=outputs)


def _shots(text: str | None) -> list[int]:
    try:
        return [int(word) for word in text.split(",")] if text else []
    except ValueError:
        raise ActionCLIPError(
            f"--shots is {text!r}.", expected="Whole numbers between commas were expected: 1,2,4."
        ) from None


def _splits(found: "Inspection") -> str:
    if list(found.splits) == [""]:
        return "none"
    return ", ".join(f"{n} {name or 'in none'}" for name, n in found.splits.items())


def _report(found: "Inspection") -> list[str]:
    """What was found, in lines for a person."""
    strong = {"bold": True} if is_terminal() else {}
    lines = [
        f"layout     {found.layout}: {found.why}",
        f"clips      {found.clips} in {counted(found.videos, 'video')}",
        f"classes    {len(found.classes)}",
        f"splits     {_splits(found)}",
    ]
    if (each := found.durations) is not None:
        lines.append(
            f"seconds    {each.shortest:.1f} to {each.longest:.1f}, median {each.median:.1f}, "
            f"{each.total:.0f} in all"
        )
    width = max(map(len, found.classes), default=0)
    for name in found.classes[:SHOWN_CLASSES]:
        counts = found.per_class[name]
        listed = ", ".join(f"{counts.get(s, 0)} {s}".strip() for s in found.splits)
        lines.append(f"  {name:{width}}  {listed}")
    if len(found.classes) > SHOWN_CLASSES:
        lines.append(f"  and {len(found.classes) - SHOWN_CLASSES} more classes")
    lines += [f"  {file.path}: {file.status}: {file.message}" for file in found.bad[:SHOWN_CLASSES]]
    lines = list(map(harmless, lines))
    lines += [typer.style("note: ", **strong) + harmless(text) for text in found.warnings]
    lines += [typer.style("problem: ", **strong) + harmless(text) for text in found.problems]
    return lines if found.problems else [*lines, "No problem was found."]
