"""Someone who types what a document shows and looks at what comes back."""

import io
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any
from unittest import mock

from docs_runner import ROOT
from docs_runner.blocks import SHELL, Block, is_as_shown, read_commands
from docs_runner.stand_ins import offline, stand_in_cameras, stand_in_weights

Shown = Callable[[Block, tuple[str, ...], str], None]


class WrongDocument(AssertionError):
    """A document shows what does not work, or what does not come back."""


class Reader:
    """Runs the blocks of one document in the current folder.

    Args:
        compare: what to do with what was shown and what was printed; by default, insist that they
            are the same.
    """

    def __init__(self, compare: Shown | None = None) -> None:
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.compare = compare or insist
        self.code = 0
        self.printed = ""

    def read(self, block: Block) -> None:
        """Do what a block says."""
        if block.mark == "not run":
            return
        if block.mark == "file":
            Path(block.argument).write_text(block.text)
        elif block.mark == "output":
            self.compare(block, block.lines, self.printed)
        else:
            weights = offline if block.mark == "offline" else stand_in_weights
            with weights(), stand_in_cameras():
                if block.language in SHELL:
                    self._type(block)
                elif block.language == "python":
                    self._run_python(block)

    def _run_python(self, block: Block) -> None:
        # The empty lines make a traceback name the line of the document.
        source = "\n" * (block.line - 1) + block.text
        with redirect_stdout(io.StringIO()) as text:
            exec(compile(source, str(block.document), "exec"), self.names)
        self.printed = text.getvalue()

    def _type(self, block: Block) -> None:
        commands = read_commands(block)
        if not commands:
            raise WrongDocument(f"{block} has no command in it.")
        for command, following in zip(commands, [*commands[1:], None], strict=True):
            before = self.code
            with captured() as text:
                self.code = self.run(command.text, before)
            where = f"{block.document.name}:{command.line}: $ {command.text}"
            asks = following is not None and following.text == "echo $?"
            if self.code and not asks:
                raise WrongDocument(f"{where}\nends with {self.code}:\n{text.getvalue()}")
            if command.output:
                shown = Block(block.document, command.line, "console", command.output)
                self.compare(shown, command.output, text.getvalue())

    def run(self, command: str, code: int = 0) -> int:
        """Run a command without a shell; what it ends with."""
        words = shlex.split(command, comments=True)
        match words:
            case ["echo", "$?"]:
                sys.stdout.write(f"{code}\n")
                return 0
            case ["make", *arguments]:
                return max((run_actionclip(line) for line in _recipe(arguments)), default=0)
            case ["python", script, *arguments] if script.startswith("examples/"):
                return _run_script(ROOT / script, arguments)
            case ["cat", name]:
                sys.stdout.write(Path(name).read_text())
                return 0
            case ["torchrun", "--nproc-per-node", _, "-m", "actionclip", "train", *arguments]:
                return run_actionclip(["train", *arguments, "--dry-run"])  # as far as one can go
            case ["actionclip", "serve", *arguments]:
                with _service_that_ends():
                    return run_actionclip(["serve", *arguments])
            case ["actionclip", *arguments]:
                return run_actionclip(arguments)
        raise WrongDocument(f"The tests cannot run {command!r}: mark it, with the reason.")


@contextmanager
def _service_that_ends() -> Iterator[None]:
    """`actionclip serve` as far as one can go without waiting for clients."""
    from actionclip.serving import server

    def announce(recognizer: Any, name: str, settings: Any, ready: Callable[[Any], None]) -> None:
        with recognizer:
            ready(server.Address(f"http://{settings.host}:{settings.port}", settings.token))

    with mock.patch.object(server, "serve", announce):
        yield


def insist(block: Block, shown: tuple[str, ...], printed: str) -> None:
    """The document has to show what is printed."""
    if not is_as_shown(shown, printed):
        expected = "\n".join(shown)
        raise WrongDocument(f"{block} shows:\n{expected}\n\nand this is printed:\n{printed}")


def run_actionclip(arguments: list[str]) -> int:
    """Run the command line in this process; `> file` and `< file` are understood."""
    from actionclip.cli import main

    words, files = [], {}
    remaining = iter(arguments)
    for word in remaining:
        if word in ("<", ">", "2>"):
            files[word] = Path(next(remaining))
        else:
            words.append(word)
    stdin = io.TextIOWrapper(io.BytesIO(files["<"].read_bytes() if "<" in files else b""))
    out, error = (io.StringIO() if way in files else None for way in (">", "2>"))
    try:
        with (
            mock.patch.object(sys, "argv", ["actionclip", *words]),
            mock.patch.object(sys, "stdin", stdin),
            redirect_stdout(out or sys.stdout),
            redirect_stderr(error or sys.stderr),
        ):
            main()
            code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    for way, text in ((">", out), ("2>", error)):
        if text is not None:
            files[way].write_text(text.getvalue())
    return code


def _recipe(arguments: list[str]) -> Iterator[list[str]]:
    """The `actionclip` commands that `make` would run; the tests themselves are not run again."""
    done = subprocess.run(
        ["make", "--dry-run", "--no-print-directory", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stdout.replace("\\\n", " ").splitlines()
    commands = [shlex.split(line) for line in lines if re.match(r"\S*/(actionclip|python)\b", line)]
    if not commands:
        raise WrongDocument(f"make {' '.join(arguments)} does nothing:\n{done.stdout}")
    yield from (words[1:] for words in commands if words[0].endswith("/actionclip"))


def _run_script(script: Path, arguments: list[str]) -> int:
    import runpy

    with mock.patch.object(sys, "argv", [str(script), *arguments]):
        try:
            runpy.run_path(str(script), run_name="__main__")
        except SystemExit as end:
            return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


@contextmanager
def captured() -> Iterator[io.StringIO]:
    """What is printed, results and messages together as a terminal shows them."""
    text = io.StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        yield text
