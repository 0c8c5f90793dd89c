"""`actionclip calibrate`: what labelled clips say about a model's scores, into its folder."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from actionclip.cli import options
from actionclip.cli.classify import SOME_FAILED
from actionclip.cli.console import Progress, documented, plain_warnings, say
from actionclip.cli.data import Fold, LayoutName, NamesOfNumbers, Root
from actionclip.errors import ActionCLIPError

if TYPE_CHECKING:
    from actionclip.data.layouts.base import Options
    from actionclip.data.manifest import Manifest
    from actionclip.evaluation.calibration.calibrating import Calibrated
    from actionclip.evaluation.intervals import Estimate

SHOWN = 12
"""Files listed on a terminal."""

EXAMPLES = """Examples:

  actionclip calibrate tiny --data labelled/ --coverage 0.8 --out models/calibrated

  actionclip calibrate models/calibrated --data labelled/ --unknown others/
"""


def calibrate(
    model: Annotated[
        str, typer.Argument(help="A model folder or name, as for --model of classify.")
    ],
    data: Annotated[
        Path,
        typer.Option(
            help="Clips with one label each: a folder with a folder for each label, a manifest or "
            "another data set. Not those the model was trained on.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="The model folder to write. Default: MODEL itself, where it is a folder.",
            file_okay=False,
            show_default=False,
        ),
    ] = None,
    unknown: Annotated[
        list[str] | None,
        typer.Option(
            help="Videos that show none of the labels: files, folders, lists; repeatable.",
            show_default=False,
        ),
    ] = None,
    coverage: Annotated[
        float,
        typer.Option(
            min=0.0,
            max=0.999,
            help="Share of clips whose label set is to hold the right label; 0: no label sets.",
        ),
    ] = 0.9,
    keep: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            max=0.999,
            help="Share of known clips that are not answered `none of these`. Default: the best "
            "balance with --unknown, or 0.95 without.",
            show_default=False,
        ),
    ] = None,
    labels: options.Competing = None,
    split: Annotated[
        str | None,
        typer.Option(
            help="The split to calibrate on. Default: val, or else clips without one, or else "
            "test.",
            show_default=False,
        ),
    ] = None,
    layout: LayoutName = None,
    root: Root = None,
    class_names: NamesOfNumbers = None,
    fold: Fold = 1,
    seed: options.Seed = 0,
    draws: options.Draws = 1000,
    device: options.Device = None,
    workers: options.Workers = None,
    timeout: options.Timeout = 10.0,
    decoder: options.DecoderName = "pyav",
    as_json: options.Json = False,
) -> None:
    """Fit how sure a model is to clips with labels: honest scores, "none of these", label sets.

    A temperature (what logits are divided by), a threshold below which the answer is `none of
    these`, and label sets that hold the right label in a stated share of clips like these. All of
    it goes into config.json of the model folder; classify and eval obey it. What it does is
    measured on clips held out in turn.
    """
    from actionclip.data.layouts.base import Options
    from actionclip.encoding.words import resolve_labels
    from actionclip.evaluation.calibration.calibrating import calibrate as calibrated
    from actionclip.evaluation.calibration.calibrating import rows_of

    target = _target(model, out)
    options.check_folder(target)
    with plain_warnings():
        names = tuple(resolve_labels(class_names)) if class_names else None
        known = _read(data, layout, Options(root, names, fold))
        others = options.find_sources(unknown, model) if unknown else []
        count = len(rows_of(known, split)[0]) + len(others)
        recognizer = options.open_model(
            model, device=device, workers=workers, timeout=timeout, decoder=decoder
        )
        with recognizer, Progress(count) as progress:
            found = calibrated(
                recognizer,
                known,
                unknown=others,
                labels=None if labels is None else resolve_labels(labels),
                coverage=coverage or None,
                keep=keep,
                split=split,
                seed=seed,
                draws=draws,
                seen=progress.add,
            )
        _write(model, recognizer.model, target)
    if as_json:
        typer.echo(json.dumps({"folder": str(target), **found.to_dict()}))
    else:
        for line in _lines(found, target):
            typer.echo(line)
    for failure in found.failures[:SHOWN]:
        say(f"not read: {failure.path}: {failure.code}: {failure.reason}")
    if found.failures:
        raise typer.Exit(SOME_FAILED)


calibrate.__doc__ = documented(calibrate, EXAMPLES)


def _target(model: str, out: Path | None) -> Path:
    """The folder to write.

    Raises:
        ActionCLIPError: when none was named, and the model is no folder.
    """
    if out is not None:
        return out
    own = _own_folder(model)
    if own is None:
        raise ActionCLIPError(
            f"{model} is not a model folder, so there is no place for what is found.",
            expected="A folder was expected with --out.",
            hint=f"For example: actionclip calibrate {model} --data clips/ --out models/calibrated",
        )
    return own


def _own_folder(model: str) -> Path | None:
    """The model folder that a name is; `tiny` is the built-in one, whatever lies here."""
    from actionclip.model.weights.folder import is_model_folder
    from actionclip.model.zoo.pretrained import TINY

    return Path(model) if model != TINY and is_model_folder(Path(model)) else None


def _read(path: Path, layout: str | None, said: "Options") -> "Manifest":
    from actionclip.data.layouts.recognise import read_data

    read = read_data(path, layout=layout, options=said)
    for note in read.notes:
        say(f"note: {note}")
    return read.manifest


def _write(name: str, model: object, target: Path) -> None:
    """A folder is copied as it lies, with another config.json; other models are saved."""
    from actionclip.model.actionclip import ActionCLIP
    from actionclip.model.weights.folder import copy_folder, save
    from actionclip.model.zoo.pretrained import TINY
    from actionclip.model.zoo.tiny import FOLDER

    assert isinstance(model, ActionCLIP)
    source = FOLDER if name == TINY else _own_folder(name)
    if source is None:
        save(model, target)
    else:
        copy_folder(source, target, model.config)


def _lines(found: "Calibrated", target: Path) -> list[str]:
    """What was found, for a person."""
    known, report = found.calibration, found.report
    lines = [f"calibrated on {known.clips} clips, {known.labels} labels"]
    lines.append(f"temperature  {known.temperature:.3g}")
    lines.append(f"threshold    {known.threshold:.3g}: no label's cosine reaches it, none of these")
    if known.coverage is not None and known.floor is not None:
        lines.append(f"label sets   labels from {known.floor:.3g}: coverage {known.coverage:.0%}")
    if report is not None:
        lines += ["", f"measured on clips held out, {report.folds} folds"]
        lines.append(f"{'':22}{'before':26}after")
        for name, title in (("ece", "calibration error"), ("nll", "loss"), ("top1", "top-1")):
            both = [_value(each[name], name) for each in (report.before, report.after)]
            lines.append(f"{title:22}{both[0]:26}{both[1]}")
        for name, value in {**report.sets, **report.rejection}.items():
            lines.append(f"{TITLES[name]:34}{_value(value, name)}")
    lines += ["", *(f"note: {note}" for note in found.notes)] if found.notes else []
    return [*lines, str(target)]


TITLES = {
    "coverage": "sets that hold the right label",
    "set_size": "labels in a set",
    "kept": "known clips kept",
    "rejected": "unknown clips rejected",
    "auroc": "known from unknown, AUROC",
    "fpr95": "unknown kept where 95% known are",
}
PLAIN = ("nll", "set_size", "auroc")
"""Numbers that are no shares."""


def _value(value: "Estimate", name: str) -> str:
    if name not in PLAIN:
        return str(value)
    if math.isnan(value.low):
        return f"{value.value:.3f}"
    return f"{value.value:.3f}  [{value.low:.3f}, {value.high:.3f}]"
