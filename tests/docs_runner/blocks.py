"""Blocks of code in Markdown, the commands in them, and what they are said to print."""

import re
from dataclasses import dataclass
from pathlib import Path

FENCE = re.compile(r"(?P<fence>```+)(?P<language>\S*)")
MARK = re.compile(r"<!-- (?P<mark>file|output|offline|not run)(: (?P<argument>.+))? -->")
SHELL = ("bash", "console", "sh")


@dataclass(frozen=True)
class Block:
    """What stands between two fences."""

    document: Path
    line: int
    """Where its first line stands, counted from 1."""
    language: str
    lines: tuple[str, ...]
    mark: str = ""
    argument: str = ""

    @property
    def text(self) -> str:
        """The block as it stands."""
        return "\n".join(self.lines) + "\n"

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line typed, and what is shown to come back (nothing shown: anything may)."""

    text: str
    line: int
    output: tuple[str, ...]


def read_blocks(document: Path) -> list[Block]:
    """The fenced blocks of a document, in order."""
    blocks, lines = [], document.read_text().splitlines()
    mark: re.Match[str] | None = None
    start, language, fence = 0, "", ""
    for number, line in enumerate(lines, start=1):
        if fence:
            if line.strip() == fence:
                which, argument = (mark["mark"], mark["argument"] or "") if mark else ("", "")
                inside = tuple(lines[start : number - 1])
                blocks.append(Block(document, start + 1, language, inside, which, argument))
                fence, mark = "", None
        elif opening := FENCE.fullmatch(line.strip()):
            start, language, fence = number, opening["language"], opening["fence"]
        elif line.strip():
            mark = MARK.fullmatch(line.strip())
    return blocks


def read_commands(block: Block) -> list[Command]:
    """The commands of a block: all lines of `bash`, those after a `$ ` of `console`."""
    commands: list[Command] = []
    going_on = False
    for number, line in enumerate(block.lines, start=block.line):
        if going_on:
            last = commands.pop()
            commands.append(Command(last.text[:-1] + line.strip(), last.line, ()))
        elif block.language != "console" and line.strip() and not line.startswith("#"):
            commands.append(Command(line, number, ()))
        elif block.language == "console" and line.startswith("$ "):
            commands.append(Command(line[2:], number, ()))
        elif block.language == "console":
            last = commands.pop()
            commands.append(Command(last.text, last.line, (*last.output, line)))
        going_on = bool(commands) and not commands[-1].output and commands[-1].text.endswith("\\")
    return commands


def is_as_shown(shown: tuple[str, ...], printed: str) -> bool:
    """Whether a text is what a document shows, numbers and widths of columns left out.

    A line `...` stands for any number of lines. A number alone is an exit code and is compared.
    """
    if len(shown) == 1 and shown[0].isdigit():
        return printed.strip() == shown[0]
    pattern = "".join(
        r"(?:.*\n)*" if line.strip() == "..." else re.escape(mask(line)) + "\n" for line in shown
    )
    text = "".join(mask(line) + "\n" for line in printed.rstrip().splitlines())
    return re.fullmatch(pattern, text) is not None


def mask(line: str) -> str:
    """A line without what differs from machine to machine.

    >>> mask("  17.3%   juggling  (0.42 s)")
    '#% juggling (# s)'
    """
    return re.sub(r"[0-9][0-9.,]*", "#", " ".join(line.split()))
