"""What the documents show works, and what they say is printed is printed."""

import ast
import inspect
import re
import shutil

import pytest

import actionclip
from docs_runner import DOCUMENTS, ROOT, recipe_reference
from docs_runner.blocks import SHELL, is_as_shown, read_blocks, read_commands
from docs_runner.cli_reference import PAGE, verbs, write_reference
from docs_runner.reader import Reader, WrongDocument
from docs_runner.stand_ins import lay_out, stand_in_weights

AT_ONCE = ("README.md", "quickstart.md")
"""What people read first. `make test-all` tests the others; those without a program always are."""
LANGUAGES = {*SHELL, "python", "text", "json", "csv", "toml", "bibtex"}
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MARKED = [block for path in DOCUMENTS for block in read_blocks(path) if block.mark == "not run"]


def documents():
    for path in DOCUMENTS:
        runs = any(block.language in (*SHELL, "python") for block in read_blocks(path))
        marks = pytest.mark.slow if runs and path.name not in AT_ONCE else ()
        yield pytest.param(path, id=path.name, marks=marks)


@pytest.fixture(scope="module")
def what_documents_name(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stand-ins")
    lay_out(folder)
    return folder


@pytest.fixture
def desk(what_documents_name, tmp_path, monkeypatch):
    """A folder with what the documents talk about, and nothing kept outside it."""
    shutil.copytree(what_documents_name, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACTIONCLIP_CACHE", str(tmp_path / ".cache"))
    return tmp_path


@pytest.mark.parametrize("document", list(documents()))
def test_everything_a_document_shows_works(document, desk):
    reader = Reader()

    for block in read_blocks(document):
        reader.read(block)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_as_it_says(example, desk, capsys):
    lines = ast.get_docstring(ast.parse(example.read_text())).splitlines()
    commands = [line.strip() for line in lines if line.strip().startswith("python ")]
    assert commands
    assert all(command.startswith(f"python examples/{example.name}") for command in commands)

    for command in commands:
        with stand_in_weights():
            code = Reader().run(command.replace(" [MODEL]", ""))
        assert code == 0
        assert capsys.readouterr().out.strip()


@pytest.mark.parametrize("block", MARKED, ids=str)
def test_what_is_not_run_says_why(block):
    assert len(block.argument) > 10
    pytest.skip(f"{block}: {block.argument}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_block_says_its_language(document):
    for block in read_blocks(document):
        assert block.language in LANGUAGES, block


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_a_document_links_to_is_there(document):
    text = document.read_text()
    headings = {}
    for target in re.findall(r"\]\((?!https?://)([^)]*)\)", text):
        name, _, anchor = target.partition("#")
        path = (document.parent / name).resolve() if name else document
        assert path.exists(), f"{document.name} links to {target}"
        if anchor:
            if path not in headings:
                headings[path] = anchors(path.read_text())
            assert anchor in headings[path], f"{document.name} links to {target}"


def anchors(text):
    titles = re.findall(r"^#+ (.*)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_file_of_this_project_a_document_names_is_there(document):
    for name in re.findall(
        r"`((?:src|tests|docs|examples|benchmarks)/[\w./-]*)`", document.read_text()
    ):
        assert (ROOT / name).exists(), f"{document.name} names {name}"


def test_the_reference_of_the_command_line_is_current():
    assert PAGE.read_text() == write_reference() + "\n", "run: .venv/bin/python docs/refresh.py"


@pytest.mark.parametrize("name", verbs())
def test_what_help_says_has_no_margin(name):
    """Before Python 3.13 a docstring keeps the margin of the code it stands in."""
    text, _, _ = (inspect.getdoc(verbs()[name]) or "").partition("Examples:")

    assert [line for line in text.splitlines() if line.startswith(" ")] == []


def test_the_reference_of_recipes_is_current():
    text = recipe_reference.PAGE.read_text()

    assert text == recipe_reference.with_reference(text), "run: .venv/bin/python docs/refresh.py"
    assert set(recipe_reference.TABLES) >= {"model", "data", "training", "evaluation"}


def test_the_first_thing_in_the_readme_is_what_it_does():
    title, sentence, *_ = [line for line in (ROOT / "README.md").read_text().splitlines() if line]

    assert title == "# ActionCLIP"
    assert sentence[0].isalpha()


def test_the_table_of_benchmarks_has_its_place_in_the_readme():
    text = (ROOT / "README.md").read_text()

    assert text.count("<!-- benchmarks:begin -->") == text.count("<!-- benchmarks:end -->") == 1
    assert text.index("<!-- benchmarks:begin -->") < text.index("<!-- benchmarks:end -->")


@pytest.mark.parametrize("page", ["docs/api.md"])
def test_what_is_promised_is_written_down(page):
    text = (ROOT / page).read_text()
    result = actionclip.VideoResult(
        source="a.mp4",
        status=actionclip.Outcome.DEGRADED,
        scores=[actionclip.Score("juggling", 1.0)],
        frames=8,
        seconds=2.0,
        precision="fp32",
    ).to_dict()
    promised = {*actionclip.__all__, *result, *result["scores"][0], *result["error"]}

    missing = [name for name in sorted(promised) if not re.search(rf"[`\".]{name}\b", text)]
    assert missing == []
    assert [f"| `{outcome}` |" in text for outcome in actionclip.Outcome] == [True] * 10


def test_a_document_that_shows_what_does_not_work_is_found_out(desk):
    wrong = desk / "wrong.md"
    for block in (
        "```bash\nactionclip classify holiday.mp4 --labels a,b --model tiny --topk 3\n```",
        "```console\n$ actionclip --version\nactionclap 0.1\n```",
        "```bash\ncurl example.org\n```",
        "```console\n$ actionclip embed clips --output vectors.pdf\n...\n$ echo $?\n0\n```",
    ):
        wrong.write_text(block + "\n")
        [read] = read_blocks(wrong)
        with pytest.raises(WrongDocument):
            Reader().read(read)


def test_shown_output_may_leave_out_lines_and_numbers():
    printed = "warning: x\nholiday.mp4\n   41.7%  juggling\n   20.0%  riding\n"

    assert is_as_shown(("...", "holiday.mp4", "  1.0%  juggling", "  9%  riding"), printed)
    assert is_as_shown(("warning: x", "..."), printed)
    assert not is_as_shown(("holiday.mp4", "..."), printed)
    assert not is_as_shown(("...", "  1.0%  riding", "  9%  juggling"), printed)
    assert is_as_shown(("2",), "2\n")
    assert not is_as_shown(("0",), "2\n")


def test_commands_are_read_as_they_would_be_typed(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("```console\n$ actionclip a \\\n    b\nout\n$ actionclip c\n```\n")
    [block] = read_blocks(page)

    commands = read_commands(block)

    assert [(c.text, c.line, c.output) for c in commands] == [
        ("actionclip a b", 2, ("out",)),
        ("actionclip c", 5, ()),
    ]
