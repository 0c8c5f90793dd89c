"""All that is drawn of a test, as files for the folder of its results."""

from collections.abc import Sequence

from actionclip.data.manifest import Manifest
from actionclip.evaluation.metrics import Sheet
from actionclip.evaluation.report.confusion import confusion, confusion_csv, confusion_picture
from actionclip.evaluation.report.folder import confusion_names
from actionclip.evaluation.report.mistakes import mistakes_page, worst_mistakes
from actionclip.evaluation.report.reliability import reliability, reliability_picture
from actionclip.evaluation.result import Evaluation
from actionclip.figures import legible
from actionclip.model.weights.files import Content, text_content
from actionclip.video.decode import DecodePool

MOST_TABLES = 3
"""Sets of classes whose confusions are drawn; those of ten draws of half of the classes are not."""


def draw_pictures(evaluation: Evaluation, pool: DecodePool, title: str) -> dict[str, Content]:
    """Confusion matrices, the reliability plot and the page of mistakes, by file name.

    Args:
        evaluation: what came of a test.
        pool: reads the clips that the page shows.
        title: what was tested, in a line.
    """
    sheets = [part.sheet for part in evaluation.parts]
    files: dict[str, Content] = {}
    single = not evaluation.protocol.multi_label
    if single:
        files |= _confusions(sheets)
        if all(sheet.are_probabilities for sheet in sheets) and any(s.read.any() for s in sheets):
            files["reliability.png"] = _bytes(reliability_picture(reliability(sheets)))
    manifests = {sheet.name: Manifest(sheet.rows, sheet.classes, sheet.root) for sheet in sheets}
    page = mistakes_page(
        worst_mistakes(sheets), manifests, pool, title=title, clips=evaluation.clips
    )
    return files | {"mistakes.html": text_content(legible(page))}


def _confusions(sheets: Sequence[Sheet]) -> dict[str, Content]:
    """A matrix for each set of classes; parts with the same classes are added up."""
    tables: dict[tuple[str, ...], list[Sheet]] = {}
    for sheet in sheets:
        tables.setdefault(sheet.classes, []).append(sheet)
    if len(tables) > MOST_TABLES:
        return {}
    files = {}
    for classes, same in tables.items():
        names = confusion_names(None if len(tables) == 1 else same[0].name)
        table = confusion(same)
        files[names[0]] = text_content(confusion_csv(classes, table))
        files[names[1]] = _bytes(confusion_picture(classes, table))
    return files


def _bytes(data: bytes) -> Content:
    return Content(len(data), lambda path: path.write_bytes(data))
