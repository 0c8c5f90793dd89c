"""Processes that share what is already imported and rendered: they are forked.

Nothing here touches the graphics card before the fork; each process opens it for itself.
"""

import multiprocessing
from collections.abc import Callable, Sequence
from typing import Any

CONTEXT = multiprocessing.get_context("fork")


def forked(work: Callable[..., None], tasks: Sequence[tuple[Any, ...]]) -> None:
    """Each task in a process of its own; waits for all.

    Raises:
        RuntimeError: when one of them failed.
    """
    running = [CONTEXT.Process(target=work, args=task) for task in tasks]
    for process in running:
        process.start()
    for process in running:
        process.join()
    failed = [process.exitcode for process in running if process.exitcode]
    if failed:
        raise RuntimeError(f"{len(failed)} of {len(running)} processes failed: {failed}")
