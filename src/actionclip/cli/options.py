"""Options that several verbs share, so that they are spelled and explained once."""

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from actionclip.errors import ActionCLIPError, check_writable

if TYPE_CHECKING:
    from actionclip.inference.recognizer import Recognizer
    from actionclip.video.sources import Source

Videos = Annotated[
    list[str],
    typer.Argument(
        help="Videos: files, folders, globs, lists (.txt, .csv), a folder of frames, - (stdin).",
        show_default=False,
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        help="open_clip-name/tag, tiny, hf-hub:owner/repo, or a model folder. "
        "Default: ViT-B-16/datacomp_xl_s13b_b90k (600 MB, downloaded once).",
        show_default=False,
    ),
]
Device = Annotated[
    str | None, typer.Option(help="cpu, cuda, mps; default: the best there is.", show_default=False)
]
PrecisionName = Annotated[
    str, typer.Option("--precision", help="fp32, bf16, or auto: bf16 where it pays.")
]
Frames = Annotated[int | None, typer.Option(min=1, help="Frames in a window.", show_default=False)]
Windows = Annotated[
    int | None, typer.Option(min=1, help="Temporal views of a video.", show_default=False)
]
Spacing = Annotated[
    float | None,
    typer.Option(help="Seconds between frames (else: spread over the video).", show_default=False),
]
Crops = Annotated[
    int | None, typer.Option(min=1, max=3, help="Spatial views: 1 or 3.", show_default=False)
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Decoding processes; default: one for each core.")
]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds a video may take to decode, plus 0.5 a frame.")
]
DecoderName = Annotated[str, typer.Option("--decoder", help="pyav, or torchcodec where installed.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout, one object a line.")]
Explain = Annotated[
    Path | None,
    typer.Option(
        help="Picture of what carried the answer (frames, places, sentences): a .png, or a folder. "
        "With --json also the key `explanation`.",
        show_default=False,
    ),
]
FAILURES = Path("failures.csv")
Failures = Annotated[
    Path, typer.Option(help="Where videos that failed are listed (only when some did).")
]
FailuresOfSeveral = Annotated[
    Path | None,
    typer.Option(
        help="Where videos that failed are listed (only when some did). "
        f"Default: {FAILURES} where there are several videos, else nowhere.",
        show_default=False,
    ),
]

Share = Annotated[
    str | None,
    typer.Option(
        help="I/N: only share I of N, for several machines with the same list. Each video is in "
        "one share.",
        show_default=False,
    ),
]


class WordsOnce(TyperCommand):
    """A verb that takes all words of an option at once.

    An option that is given twice counts with its last value, as elsewhere; of words the first ones
    would then be forgotten, and the answer would be one of the others.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse `--labels` and `--reject` that come twice; what else is wrong is said as ever."""
        given = self.make_parser(ctx).parse_args(args=list(args))[2]
        for name in ("labels", "reject"):
            if sum(one.name == name for one in given) > 1:
                raise ActionCLIPError(
                    f"--{name} was given more than once.",
                    expected="All words go into one, between commas, or into a file.",
                    hint=f'For example: --{name} "walking, running".',
                )
        return super().parse_args(ctx, args)


PLACE = "actionclip-index"
"""Where an index lies unless told otherwise: a folder in the current one."""
Place = Annotated[
    str,
    typer.Option("--index", help="The index: a folder, or an address such as s3://bucket/films."),
]


def own_gpu() -> str | None:
    """Under torchrun each process of a machine has a GPU of its own, where there are any."""
    import torch

    number = os.environ.get("LOCAL_RANK")
    return f"cuda:{number}" if number is not None and torch.cuda.is_available() else None


OTHER_PICTURES = (".avif", ".bmp", ".eps", ".gif", ".heic", ".jpeg", ".jpg")
OTHER_PICTURES += (".pdf", ".ps", ".svg", ".tif", ".tiff", ".webp")


def is_picture(option: str, place: Path) -> bool:
    """Whether a place for pictures names a single one; else it is a folder for them.

    Raises:
        ActionCLIPError: for a picture of another kind than we write.
    """
    suffix = place.suffix.lower()
    if place.is_dir():
        return False
    if suffix in OTHER_PICTURES:
        raise ActionCLIPError(
            f"{option} is {place}, and that is no .png.",
            expected="A picture is written as a .png; any other name is a folder for pictures.",
            hint=f"For example: {option} {place.with_suffix('.png')}.",
        )
    return suffix == ".png"


def check_outputs(
    sources: "Sequence[Source]",
    inputs: Iterable[str | Path | None],
    *,
    failures: Path | None,
    outputs: Iterable[Path] = (),
) -> None:
    """Refuse to write over what was named as input, one output over another, or where one cannot.

    Args:
        sources: the videos.
        inputs: what the command line names besides: where it is a file, it is kept.
        failures: where videos that fail are listed, if that is wanted.
        outputs: the other files.

    Raises:
        ActionCLIPError: naming the output.
        StorageError: for a place where nothing can be written.
    """
    from actionclip.video.sources import refuse_overwriting

    named, others = list(inputs), list(outputs)
    refuse_overwriting(others, sources, named)
    for output in others:
        check_writable(output)
    if failures is not None:
        hint = "Videos that fail are listed there: name another place with --failures FILE."
        refuse_overwriting([*others, failures], sources, named, hint=hint)
    if failures not in (None, FAILURES):  # where none was named, most often none is needed
        check_writable(failures)


def check_folder(folder: Path | None) -> None:
    """Refuse a folder in which nothing could be written, before the work whose result it is for.

    Raises:
        StorageError: naming what is in the way.
    """
    if folder is not None:
        check_writable(folder / "config.json" if folder.is_dir() else folder)


def crops_of(crops: int | None) -> int | None:
    """The number of crops, checked.

    Raises:
        ActionCLIPError: for a number that is no way to cut a frame.
    """
    if crops not in (None, 1, 3):
        raise ActionCLIPError(f"--crops is {crops}.", expected="It must be 1 or 3.")
    return crops


def open_model(
    name: str | None,
    *,
    device: str | None = None,
    precision: str = "fp32",
    workers: int | None = None,
    timeout: float = 10.0,
    decoder: str = "pyav",
) -> "Recognizer":
    """The model that a command line asks for."""
    import actionclip
    from actionclip.errors import unknown
    from actionclip.model.zoo.pretrained import DEFAULT
    from actionclip.video.settings import Limits

    if decoder not in ("pyav", "torchcodec"):
        raise unknown("decoder", decoder, ["pyav", "torchcodec"])
    return actionclip.load(
        name or DEFAULT,
        device=device,
        precision=precision,
        workers=workers,
        limits=Limits(seconds=timeout),
        decoder=decoder,
    )


def model_name(name: str | None) -> str | None:
    """How a model can be named from anywhere: a folder by its absolute path."""
    is_folder = name is not None and name != "tiny" and Path(name).is_dir()
    return str(Path(name).absolute()) if name and is_folder else name


def from_here(path: str) -> str:
    """A path as a person in the current folder would write it."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path


def find_sources(
    videos: list[str], model: str | None, *, whole: str | None = None, share: str | None = None
) -> "list[Source]":
    """The videos that the arguments stand for.

    Args:
        videos: paths as a user types them.
        model: its name.
        whole: what needs whole videos, as in `A timeline`; None: stretches are welcome.
        share: see `Share`.

    Raises:
        ActionCLIPError: where there are none; where none exists and the model is not here either;
            for a stretch that is not welcome, or a share that is none.
    """
    from actionclip.inference.bulk.shares import take_share
    from actionclip.video.sources import check_whole, find_videos

    sources = find_videos(videos)
    for source in sources:
        if source.name == "-":
            _check_is_no_text(source.path)
    if share is not None:
        sources = take_share(sources, share)
    if whole is not None:
        check_whole(sources, whole)
    check_worth_downloading(model, sources)
    return sources


def _check_is_no_text(piped: Path) -> None:
    """Refuse names on standard input, where a video is meant.

    Raises:
        ActionCLIPError: saying how names are given.
    """
    with piped.open("rb") as file, suppress(UnicodeDecodeError):
        begin = file.read(512)
        lines = (begin.rpartition(b"\n")[0] or begin).decode("utf-8").splitlines()
        if all(line.isprintable() for line in lines) and not lines[0].startswith("YUV4MPEG2"):
            raise ActionCLIPError(
                f"Standard input is text and no video; it begins with {lines[0][:60]!r}.",
                expected="- stands for one video. Names of videos are given in a file.",
                hint="For example: ls *.mp4 > clips.txt, and then clips.txt in place of -.",
            )


def check_worth_downloading(model: str | None, sources: "list[Source]") -> None:
    """A model that has to be downloaded is, once there is a video to look at.

    Raises:
        ActionCLIPError: when none of the videos exists and the model is not on this machine.
    """
    from actionclip.model.zoo.pretrained import DEFAULT, files_to_come

    if any(source.is_there for source in sources) or not files_to_come(model or DEFAULT):
        return
    others = len(sources) - 1
    raise ActionCLIPError(
        sources[0].explain_missing(),
        expected=f"None of the {others + 1} videos named is there." if others else "",
        hint=f"Check the path. The model {model or DEFAULT} was not downloaded yet: "
        "that takes a video to look at.",
    )


Templates = Annotated[
    list[str] | None,
    typer.Option(
        help="A sentence with {} for the label; repeatable. Or a named set, or a file of them.",
        show_default=False,
    ),
]


def sentences(template: list[str] | None) -> str | list[str] | None:
    """What `--template` means: one may be the name of a set or a file, several are sentences."""
    return template[0] if template and len(template) == 1 else template


Descriptions = Annotated[
    Path | None,
    typer.Option(help="JSON or CSV with sentences for each label.", show_default=False),
]
Ensemble = Annotated[
    str | None, typer.Option(help="scores (the paper's) or embeddings.", show_default=False)
]
Reject = Annotated[
    str | None,
    typer.Option(
        help='Competing labels reported as "none of these": words between commas.',
        show_default=False,
    ),
]


def words_asked(
    model: str | None,
    labels: str | None,
    *,
    template: list[str] | None = None,
    descriptions: Path | None = None,
    ensemble: str | None = None,
    reject: str | None = None,
) -> dict[str, Any]:
    """The words of a question, looked at before the model is loaded: options for `question`.

    Raises:
        ActionCLIPError: for words that cannot be used; where there are none, and the model would
            have to be downloaded only to say that it has none either.
    """
    from actionclip.encoding.questions import no_labels, read_words
    from actionclip.model.weights import hub
    from actionclip.model.zoo.pretrained import DEFAULT, files_to_come

    name = model or DEFAULT
    if labels is None and not name.startswith(hub.PREFIX) and files_to_come(name):
        raise no_labels()
    return read_words(
        labels,
        templates=sentences(template),
        descriptions=descriptions,
        ensemble=ensemble,
        reject=reject or (),
    )


Threshold = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        help="Do not report labels that score below. Takes the place of a calibrated threshold "
        "(0: none).",
        show_default=False,
    ),
]
Calibrated = Annotated[
    bool,
    typer.Option(
        "--calibration/--no-calibration",
        help="Obey what `actionclip calibrate` wrote into the model folder, where it did.",
    ),
]
Competing = Annotated[
    str | None,
    typer.Option(
        help="What competes in place of the classes of the data: words between commas, a file, "
        "or a built-in set; matched by name.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="For what is drawn, and for intervals.")]
Draws = Annotated[int, typer.Option(min=0, help="Draws of the bootstrap; 0: no intervals.")]
CleanLabels = Annotated[
    bool | None,
    typer.Option(
        "--clean-labels/--raw-labels",
        help="Read ApplyEyeMakeup and brush_hair as words.",
        show_default=False,
    ),
]
