"""`actionclip eval`: how good a model is on a data set, or what changed between two tests."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from actionclip.cli import options
from actionclip.cli.classify import SOME_FAILED
from actionclip.cli.console import Progress, documented, harmless, is_terminal, plain_warnings, say
from actionclip.cli.data import ChosenFold, Intervals, LayoutName, NamesOfNumbers, Root
from actionclip.errors import ActionCLIPError
from actionclip.evaluation.report.comparison_words import SHOWN, comparison_lines, name_in_words

if TYPE_CHECKING:
    from actionclip.data.manifest import Manifest
    from actionclip.evaluation import Evaluation
    from actionclip.evaluation.metrics import ClassRow
    from actionclip.inference.recognizer import Recognizer

INTEGRITY = 4

EXAMPLES = """Examples:

  actionclip eval tiny --data actions/ --protocol zero-shot --out results/

  actionclip eval tiny --data actions/ --protocol zero-shot --template "a person {}" --out others/

  actionclip eval tiny --data ucf101/ --protocol zero-shot-3-splits --views 10x3

  actionclip eval --compare results/ others/
"""


def evaluate(
    model: Annotated[
        str | None,
        typer.Argument(help="A model folder or name, as for --model of classify."),
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(
            help="A folder, a manifest (.csv, .parquet) or a list of a known data set; repeatable "
            "where a protocol has several parts.",
            show_default=False,
        ),
    ] = None,
    protocol: Annotated[
        str,
        typer.Option(
            help="closed-set, zero-shot, zero-shot-3-splits, zero-shot-full, "
            "zero-shot-half-classes, zero-shot-k600-3x160, few-shot, base-to-novel, multi-label."
        ),
    ] = "closed-set",
    views: Annotated[
        str | None,
        typer.Option(
            help="CLIPSxCROPS: 1x1 to 10x3. Default: those of the model folder.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="Folder for tables, pictures and all scores; a run that was killed goes on there.",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Compare two folders of results instead.", show_default=False),
    ] = None,
    labels: options.Competing = None,
    split: Annotated[
        str | None,
        typer.Option(help="The split to test on. Default: test, or else val.", show_default=False),
    ] = None,
    layout: LayoutName = None,
    root: Root = None,
    class_names: NamesOfNumbers = None,
    fold: ChosenFold = None,
    intervals: Intervals = False,
    base: Annotated[
        str | None,
        typer.Option(
            help="base-to-novel: the base classes; a file, or names between commas.",
            show_default=False,
        ),
    ] = None,
    template: options.Templates = None,
    descriptions: options.Descriptions = None,
    ensemble: options.Ensemble = None,
    clean_labels: options.CleanLabels = None,
    calibrated: options.Calibrated = True,
    frames: options.Frames = None,
    spacing: options.Spacing = None,
    seed: options.Seed = 0,
    draws: options.Draws = 1000,
    precision: options.PrecisionName = "auto",
    device: options.Device = None,
    workers: options.Workers = None,
    timeout: options.Timeout = 10.0,
    decoder: options.DecoderName = "pyav",
    as_json: options.Json = False,
) -> None:
    """Test a model by a protocol of the field; every clip counts, a bad file as wrong.

    Numbers come with 95 % intervals. With --out: results.json, tables of clips and classes, all
    scores, a confusion matrix, a reliability plot and a page with the worst mistakes.
    """
    if compare is not None:
        _compare(*compare, draws, seed, as_json=as_json)
        return
    from actionclip.encoding.questions import read_words

    if not data:
        raise ActionCLIPError(
            "No data set was given.",
            hint="For example: actionclip eval tiny --data actions/ --protocol zero-shot",
        )
    with plain_warnings(), _processes(device) as (where, is_first):
        read = _read(data, protocol, layout, root, class_names, fold, intervals)
        asked = read_words(
            labels,
            templates=options.sentences(template),
            descriptions=descriptions,
            ensemble=ensemble,
        )
        wanted = None if labels is None else _names(asked["labels"])
        settings = {
            "protocol": protocol,
            "split": split,
            "seed": seed,
            "draws": draws,
            "base": None if base is None else _names(base),
            "templates": asked["templates"],
            "descriptions": asked["descriptions"],
            "ensemble": asked["ensemble"],
            "clean_labels": clean_labels,
            "calibrated": calibrated,
            "folder": out,
        }
        clips = _count(read, wanted, views, settings)
        recognizer = options.open_model(
            model,
            device=where,
            precision=precision,
            workers=workers,
            timeout=timeout,
            decoder=decoder,
        )
        with recognizer:
            chosen, shown = (views, frames, spacing), clips if is_first else 0
            result = _test(recognizer, read, wanted, chosen, settings, shown)
            result = replace(result, settings={"model": model, "fold": fold} | result.settings)
            title = f"{model or 'the default model'} on {', '.join(map(str, data))}"
            if is_first and out is not None:
                _write(result, recognizer, out, title)
    if is_first:
        _show(result, title, out, as_json=as_json)
    if not result.adds_up:
        say("The counts do not add up: this is a mistake of the program, please report it.")
        raise typer.Exit(INTEGRITY)
    if result.failures:
        raise typer.Exit(SOME_FAILED)


evaluate.__doc__ = documented(evaluate, EXAMPLES)


def _compare(before: Path, after: Path, draws: int, seed: int, *, as_json: bool) -> None:
    from actionclip.evaluation.report.compare import compare

    found = compare(before, after, draws=draws, seed=seed)
    typer.echo(
        json.dumps(found.to_dict()) if as_json else harmless("\n".join(comparison_lines(found)))
    )


@contextmanager
def _processes(device: str | None) -> Iterator[tuple[str | None, bool]]:
    """Under torchrun: meet the others. The device of this process, and whether it is the first."""
    import torch

    from actionclip.inference.precision import choose_device
    from actionclip.training.ranks import join, launched

    ranks = launched()
    device = device or options.own_gpu()
    is_member = join(choose_device(device))
    try:
        yield device, ranks.is_first
    finally:
        if is_member:
            torch.distributed.destroy_process_group()


def _names(text: str | list[str]) -> list[str]:
    from actionclip.encoding.words import resolve_labels

    return resolve_labels(text)


def _read(
    paths: list[Path],
    protocol: str,
    layout: str | None,
    root: Path | None,
    class_names: str | None,
    fold: int | None,
    intervals: bool,
) -> "Manifest | dict[str, Manifest]":
    """The data to test on: one manifest, or several by name."""
    from actionclip.data.layouts.base import Options
    from actionclip.data.layouts.recognise import read_data
    from actionclip.evaluation.protocols import find_protocol

    find_protocol(protocol).check_fold(fold)
    names = tuple(_names(class_names)) if class_names else None
    folds = (1, 2, 3) if protocol == "zero-shot-3-splits" and len(paths) == 1 else (fold or 1,)
    found: dict[str, Manifest] = {}
    for path in paths:
        for each in folds:
            read = read_data(path, layout=layout, options=Options(root, names, each, intervals))
            for note in read.notes if each == folds[0] else ():
                say(f"note: {note}")
            found[f"split {each}" if len(folds) > 1 else path.stem] = read.manifest
    if len(found) < len(paths):
        raise ActionCLIPError(
            "Two of the data sets have the same name.", expected="Different names were expected."
        )
    return next(iter(found.values())) if len(found) == 1 else found


def _count(
    data: "Manifest | dict[str, Manifest]",
    labels: list[str] | None,
    views: str | None,
    settings: dict[str, Any],
) -> int:
    """How many clips are tested; what does not fit the data is refused before a model is opened."""
    from actionclip.evaluation.protocols import Choices, find_protocol
    from actionclip.evaluation.run import clips_and_crops, parts_to_test

    options.check_folder(settings["folder"])
    if views is not None:
        clips_and_crops(views)
    plan = find_protocol(settings["protocol"])
    choices = Choices(settings["split"], settings["seed"], settings["base"])
    parts = parts_to_test(plan, data, choices, labels)
    return len(
        {(str(p.manifest.path_of(row)), row.start) for p in parts for row in p.manifest.rows}
    )


def _test(
    recognizer: "Recognizer",
    data: "Manifest | dict[str, Manifest]",
    labels: list[str] | None,
    views: tuple[str | None, int | None, float | None],
    settings: dict[str, Any],
    clips: int,
) -> "Evaluation":
    from actionclip.evaluation import evaluate as tested
    from actionclip.evaluation.run import views_of

    chosen = views_of(recognizer.model, *views)
    with Progress(clips) as progress:
        return tested(recognizer, data, labels, views=chosen, seen=progress.add, **settings)


def _write(result: "Evaluation", recognizer: "Recognizer", out: Path, title: str) -> None:
    from actionclip.evaluation.report.folder import write_results
    from actionclip.evaluation.report.pictures import draw_pictures
    from actionclip.video.decode import DecodePool

    with DecodePool(1) as pool:
        pictures = draw_pictures(result, pool, title)
    write_results(result, out, data=title, more=pictures)


def _show(result: "Evaluation", title: str, out: Path | None, *, as_json: bool) -> None:
    if as_json:
        from actionclip.evaluation.report.folder import to_dict

        typer.echo(json.dumps(to_dict(result, classes=False) | {"data": title}))
    else:
        for line in _lines(result, title):
            typer.echo(line)
    for failure in result.failures[:SHOWN]:
        say(f"not read: {failure.path}: {failure.code}: {failure.reason} {failure.hint}".rstrip())
    if len(result.failures) > SHOWN:
        say(f"and {len(result.failures) - SHOWN} more that could not be read")
    if out is not None:
        say(f"Everything is in {out}: results.json, clips.csv, mistakes.html and more.")


def _lines(result: "Evaluation", title: str) -> list[str]:
    """The table for a person."""
    strong: dict[str, Any] = {"bold": True} if is_terminal() else {}
    settings = result.settings
    several = len(result.parts) > 1
    labels = sorted({len(part.sheet.classes) for part in result.parts})
    splits = {name: None for names in settings["splits"].values() for name in names if name}
    clips = f"{result.clips} clips" + (f" of {' and '.join(splits)}" if splits else "")
    clips += f" in {len(result.parts)} parts" if several else ""
    lines = [
        typer.style(harmless(title), **strong),
        f"protocol  {result.protocol.name}: {result.protocol.means}",
        f"clips     {clips}, {' or '.join(map(str, labels))} labels, "
        f"{settings['sentences']} sentences",
        f"views     {settings['views']} of {settings['sampling']['frames']} frames, "
        f"{settings['precision']}",
    ]
    if "shots" in settings:
        unsaid = "not known: the data is no draw of K training clips of each class"
        lines.append(f"shots     {settings['shots'] or unsaid}")
    lines.append("")
    if several and result.protocol.combine == "mean":
        lines += _parts_table(result)
    width = max(len(name_in_words(name)) for name in result.summary) + 2
    for name, value in result.summary.items():
        style: dict[str, Any] = strong if name == next(iter(result.summary)) else {}
        lines.append(f"{name_in_words(name):{width}}{typer.style(str(value), **style)}")
    if len(result.parts) == 1:
        number = "average precision" if result.protocol.multi_label else "right"
        lines += ["", *_classes(result.parts[0].numbers.per_class, number)]
    notes = dict.fromkeys(note for part in result.parts for note in part.numbers.notes)
    return [*lines, "", *(f"note: {harmless(note)}" for note in notes)] if notes else lines


def _parts_table(result: "Evaluation") -> list[str]:
    names = list(result.parts[0].numbers.metrics)
    width = max(len(part.sheet.name) for part in result.parts) + 2
    lines = [" " * width + "".join(f"{name_in_words(name):>19}" for name in names)]
    for part in result.parts:
        values = part.numbers.metrics
        cells = (f"{values[name].value:.1%}" if name in values else "-" for name in names)
        lines.append(f"{part.sheet.name:{width}}" + "".join(f"{cell:>19}" for cell in cells))
    return [*map(harmless, lines), ""]


def _classes(rows: "list[ClassRow]", number: str) -> list[str]:
    """Every class where there are few; else the weakest. Their number is called `number`."""
    known = [row for row in rows if row.clips]
    shown = known
    heading = "class"
    if len(known) > 2 * SHOWN:
        shown = sorted(known, key=lambda row: row.result.value)[:SHOWN]
        heading = f"the {SHOWN} weakest of {len(known)} classes"
    width = max(len(heading), *(len(row.label) for row in shown)) + 2
    lines = [f"{heading:{width}}clips  {number}"]
    for row in shown:
        taken = f"  taken for {row.confused} ({row.confused_clips})" if row.confused else ""
        lines.append(f"{row.label:{width}}{row.clips:5d}  {row.result!s:24}{taken}".rstrip())
    return list(map(harmless, lines))
