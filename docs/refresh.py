"""Brings the documents up to date with the program: references, and outputs that are shown.

    .venv/bin/python docs/refresh.py            # the references of the command line and of recipes
    .venv/bin/python docs/refresh.py README.md docs/quickstart.md    # and the outputs in these

Look at the difference before you commit it: an output that changed is news for a reader.
"""

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from docs_runner import recipe_reference
from docs_runner.blocks import Block, is_as_shown, read_blocks
from docs_runner.cli_reference import PAGE, write_reference
from docs_runner.reader import Reader
from docs_runner.stand_ins import lay_out


def refresh_outputs(document: Path) -> None:
    """Run a document and put what is printed in the place of what is shown, where they differ."""
    lines = document.read_text().splitlines()
    changes: list[tuple[int, int, list[str]]] = []

    def note(block: Block, shown: tuple[str, ...], printed: str) -> None:
        if not is_as_shown(shown, printed):
            first = block.line - 1 if block.mark == "output" else block.line
            while lines[first - 1].endswith("\\"):
                first += 1
            now = printed.rstrip().splitlines()
            if shown[0] == "...":  # stands for the warnings
                now = ["...", *(line for line in now if not line.startswith("warning:"))]
            changes.append((first, first + len(shown), now))

    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder))
        before = Path.cwd()
        os.chdir(folder)
        os.environ["ACTIONCLIP_CACHE"] = str(Path(folder) / ".cache")
        reader = Reader(note)
        try:
            for block in read_blocks(document):
                reader.read(block)
        finally:
            os.chdir(before)
    for start, end, printed in reversed(changes):
        lines[start:end] = printed
    document.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    PAGE.write_text(write_reference() + "\n")
    recipes = recipe_reference.PAGE
    recipes.write_text(recipe_reference.with_reference(recipes.read_text()))
    for name in sys.argv[1:]:
        refresh_outputs(Path(name).resolve())
