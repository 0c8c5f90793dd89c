"""Runs what the documents show: every command and every block of Python, in a temporary folder.

A document is read from top to bottom, as a reader would type it: files that one block writes are
there for the next, and so are Python's names. Marks are comments in front of a block:

    <!-- file: actions.txt -->      the block is written to that file
    <!-- output -->                 the block is what the block of Python before it prints
    <!-- offline -->                run without stand-in weights and without a network
    <!-- not run: why -->           shown only; the tests list it by name with the reason
"""

from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
