"""How long until something happens: help, imports, a decoding worker, the first answer?

    python benchmarks/startup.py

Every figure but the worker's is that of a whole process, Python's own start included (`python`).
Goal: the help of every verb in under half a second.
"""

import argparse
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

from common import Film, rendered, report, say, take_turns

from actionclip.cli.app import app
from actionclip.video.decode.workers.process import WorkerProcess
from actionclip.video.settings import Limits

GOAL = 0.5


def run(*command: str) -> Callable[[], object]:
    """Something that runs a command to its end, whatever it prints."""
    return lambda: subprocess.run(command, capture_output=True, check=True)


def start_worker() -> None:
    """From nothing to a decoding worker that can be asked."""
    worker = WorkerProcess(Limits(), "pyav")
    worker.greet()
    worker.close()


def main() -> None:
    """Measure, and print a line of JSON."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="few commands, once")
    parser.add_argument("--clips", type=Path, help="folder that keeps the rendered clip")
    args = parser.parse_args()

    program = str(Path(sysconfig.get_path("scripts")) / "actionclip")
    verbs = [str(command.name or command.callback.__name__) for command in app.registered_commands]  # type: ignore[union-attr]
    helps = {"actionclip --help": run(program, "--help")}
    helps |= {f"actionclip {verb} --help": run(program, verb, "--help") for verb in verbs}
    ways = {
        "python": run(sys.executable, "-c", "pass"),
        "import actionclip": run(sys.executable, "-c", "import actionclip"),
        "a decoding worker": start_worker,
    }
    slow = {"import torch": run(sys.executable, "-c", "import torch")}
    slow["import open_clip"] = run(sys.executable, "-c", "import open_clip")
    clip = rendered(Film(320, 240, 2), 1, args.clips)[0]
    words = ("classify", str(clip), "--model", "tiny", "--labels", "running, waving")
    slow["classify a clip of 2 s with tiny"] = run(program, *words)
    if args.quick:
        helps, slow, args.rounds = dict(list(helps.items())[:2]), {}, 1
    times = take_turns(helps | ways, args.rounds)
    late = take_turns(slow, min(args.rounds, 3)) if slow else None
    seconds = {name: round(times.seconds(name), 3) for name in times.wall}
    if late is not None:
        seconds |= {name: round(late.seconds(name), 2) for name in late.wall}
    for name, value in seconds.items():
        say(f"{value:8.3f} s  {name}")
    worst = max(seconds[name] for name in helps)
    report("startup", {"goal": f"help in {GOAL} s", "worst": worst, "rows": seconds})


if __name__ == "__main__":
    main()
