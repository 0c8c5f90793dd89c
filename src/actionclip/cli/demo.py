"""`actionclip demo`: renders clips of people, then says what they do. Needs no network."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from actionclip.cli import options
from actionclip.cli.classify import Printer, finish_failed
from actionclip.cli.console import documented, plain_warnings, say

EXAMPLES = """Examples:

  actionclip demo

  actionclip demo --folder clips --model ViT-B-32/openai
"""


def demo(
    folder: Annotated[
        Path, typer.Option(help="Where the clips are written.", file_okay=False)
    ] = Path("demo"),
    model: Annotated[str, typer.Option(help="The model to ask.")] = "tiny",
    as_json: options.Json = False,
) -> None:
    """Render a few clips of people as video files and say what happens in them."""
    import actionclip
    from actionclip.data.synthetic.clips import demo_clips
    from actionclip.inference.plot import plot_result

    clips = demo_clips(folder)
    say(f"Rendered {len(clips)} clips in {folder}/, each with its action in its name.")
    show = Printer(as_json=as_json, as_csv=False)
    with plain_warnings(), actionclip.load(model, precision="auto") as recognizer:
        labels = sorted({action for _, action in clips})
        paths = [path for path, _ in clips]
        failed = []
        for result in recognizer.results(paths, labels, top_k=3, keep_clips=True):
            show(result)
            if result.status.usable:
                plot_result(result, Path(result.source).with_suffix(".png"))
            else:
                failed.append(result)
    if failed:
        say(f"{len(failed)} of {len(clips)} clips could not be read: actionclip doctor says more.")
        finish_failed(failed, None)
    say(f"The sampled frames and scores are drawn in {folder}/*.png.")
    say(
        f"Your turn: actionclip classify {quote(str(paths[0]))} "
        f'--labels "{", ".join(labels[:3])}" --model {quote(model)}'
    )


demo.__doc__ = documented(demo, EXAMPLES)
