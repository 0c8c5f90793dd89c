"""Do the paper's claims hold in miniature? Writes the section of docs/results.md about them.

    python benchmarks/claims.py --scale gpu --device cuda --minutes 5 --out claims.jsonl
    python benchmarks/claims.py --scale gpu --precision bf16 --folder KEPT --out claims.jsonl
    python benchmarks/claims.py --only twins --videos FOLDER --out claims.jsonl
    python benchmarks/claims.py --write benchmarks/claims.jsonl --again benchmarks/again.jsonl

Rendered clips are made once and shared by all arms; every arm then trains from memory with the
library's own step. Results are lines of JSON, written as they come in; `--write` makes the tables
of them. Started again with the same `--folder` and `--out`, it goes on where it was stopped.
FOLDER is that of benchmarks/results.py: real clips, which nobody may pass on. With it, some models
are also asked about people they never saw, and some learn from these; `--pack` decodes them into a
file that a machine without the videos can be given as `--real`.
"""

import argparse
import json
import os
import shlex
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import machine, say
from miniature import real, tables
from miniature.arm import Arm
from miniature.arms import ARMS, CLAIMS
from miniature.clips import render
from miniature.running import Setup, append, jobs, read_names, run_all
from miniature.scale import SCALES

PAGE = Path(__file__).parents[1] / "docs" / "results.md"


def main() -> None:
    """Measure, or write what was measured."""
    args = arguments()
    if args.write:
        page = tables.replaced(PAGE.read_text(), tables.render(read(args.write), read(args.again)))
        PAGE.write_text(page)
        return
    if args.pack:
        real.pack(args.videos, args.pack)
        return
    append(
        args.out, {"scale": args.scale, "command": command(), "machine": machine(), **card(args)}
    )
    with tempfile.TemporaryDirectory() as temporary:
        measure(args, args.folder or Path(temporary))


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument(
        *("--only",),
        nargs="+",
        choices=[*CLAIMS, *ARMS],
        metavar="NAME",
        default=[],
        help=f"{', '.join(CLAIMS)}, or the name of an arm; else all",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--scale", choices=list(SCALES), default="small")
    parser.add_argument("--device", default="cpu")
    parser.add_argument(
        *("--precision",),
        choices=("fp32", "bf16"),
        help="of training; without it bf16 on a card and fp32 on a processor",
    )
    parser.add_argument("--minutes", type=float, default=600.0, help="in all; arms left are named")
    parser.add_argument("--processes", type=int, default=1, help="arms at a time")
    parser.add_argument("--renderers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--videos", type=Path, help="folder of real clips")
    parser.add_argument("--real", type=Path, help="what --pack wrote")
    parser.add_argument("--pack", type=Path, help="write real clips into this file and end")
    parser.add_argument("--folder", type=Path, help="keep rendered clips and towers here")
    parser.add_argument("--out", type=Path, default=Path("claims.jsonl"))
    parser.add_argument("--write", type=Path, nargs="+", help="results to make tables of")
    parser.add_argument(
        "--again", type=Path, nargs="+", default=[], help="with --write: a later measurement"
    )
    args = parser.parse_args()
    if args.pack and args.videos is None:
        parser.error("--pack needs --videos")
    if args.real is not None and not args.real.is_file():
        parser.error(f"there is no file {args.real}")
    return args


def read(files: list[Path]) -> list[dict[str, Any]]:
    """The lines of results."""
    return [json.loads(line) for path in files for line in path.read_text().splitlines()]


def command() -> str:
    """What was typed, without places on this machine."""
    words = [Path(word).name if "/" in word else word for word in sys.argv[1:]]
    return "python benchmarks/claims.py " + shlex.join(words)


def card(args: argparse.Namespace) -> dict[str, str]:
    """The graphics card, asked in another process, so that this one can be forked."""
    if args.device == "cpu":
        return {"device": "cpu"}
    from miniature.processes import CONTEXT

    with CONTEXT.Pool(1) as pool:
        return {"device": pool.apply(_card)}


def _card() -> str:
    import torch

    return torch.cuda.get_device_name()


def measure(args: argparse.Namespace, folder: Path) -> None:
    """Render, and run the arms."""
    ends = time.monotonic() + 60 * args.minutes
    todo = jobs(chosen(args.only), range(args.first, args.first + args.seeds))
    if not all(job.arm.real for job in todo) and not (folder / "rendered.json").exists():
        took = render(SCALES[args.scale], folder, args.renderers)
        say(f"rendered {took['clips']:.0f} clips in {took['seconds']} s")
    packed = args.real
    if packed is None and args.videos is not None:
        packed = folder / "real.npz"
        real.pack(args.videos, packed)
    precision = args.precision or ("fp32" if args.device == "cpu" else "bf16")
    setup = Setup(args.scale, folder.resolve(), args.device, precision, ends, packed)
    written = read_names(args.out)
    began, failed = time.monotonic(), 0
    for record in run_all(todo, setup, args.processes, written):
        append(args.out, record)
        failed += record.get("failed", False)
        what = record.get("skipped") or f"{record['split']}: {record['correct']}/{record['count']}"
        took = f" ({record['seconds']} s)" if "seconds" in record else ""
        name = f"{record['arm']}, seed {record['seed']}"
        say(f"{time.monotonic() - began:6.1f} s  {name}{took}: {what}")
    say(f"{len(todo)} jobs in {time.monotonic() - began:.1f} s")
    if failed:
        sys.exit(f"{failed} arms failed")


def chosen(only: list[str]) -> list[Arm]:
    """The arms of some claims, or of some names; all without any."""
    if not only:
        return list(ARMS.values())
    return [arm for name in only for arm in (CLAIMS.get(name) or (ARMS[name],))]


if __name__ == "__main__":
    main()
