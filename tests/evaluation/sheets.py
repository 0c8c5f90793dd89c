"""Answers for clips that need not exist, and what comes of them, for tests of reports."""

from pathlib import Path

import numpy as np

from actionclip.data.manifest import Row
from actionclip.evaluation.metrics import Sheet, multi_label, single_label
from actionclip.evaluation.protocols import PROTOCOLS
from actionclip.evaluation.result import Evaluation, Failure, PartResult, summarise

CLASSES = ("hop", "run", 'sit & "stay"')


def sheet_of(scores, truth, classes=CLASSES, root=None, start=None):
    rows = tuple(
        Row(f"{number}.mp4", (classes[label],), start=start, end=None if start is None else 9.0)
        for number, label in enumerate(truth)
    )
    scores = np.asarray(scores, np.float32)
    return Sheet("all", classes, rows, scores, root or Path())


def evaluation_of(*sheets, protocol="closed-set"):
    plan = PROTOCOLS[protocol]
    measure = multi_label if plan.multi_label else single_label
    parts = [PartResult(sheet, measure(sheet, draws=100)) for sheet in sheets]
    failures = [
        Failure(row.path, "unreadable", "no video", "")
        for row, read in zip(sheets[0].rows, sheets[0].read, strict=True)
        if not read
    ]
    count = len({clip for sheet in sheets for clip in sheet.clips})
    return Evaluation(plan, parts, summarise(plan, parts), failures, count)


SCORES = [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [np.nan] * 3, [0.5, 0.1, 0.4]]
TRUTH = [0, 1, 1, 2, 2]
