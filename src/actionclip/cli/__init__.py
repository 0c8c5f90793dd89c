"""The command line: parse, call one function, print. The only place that prints.

Nothing here imports torch, av or open_clip before a command needs them, so that `--help` is quick.
"""

from actionclip.cli.app import main

__all__ = ["main"]
