"""The house looks after itself: sizes, manners, and what `--help` may cost."""

import ast
import json
import subprocess
import sys
import zipfile
from collections import Counter
from email import message_from_bytes
from pathlib import Path

import pytest

import actionclip
from docs_runner.cli_reference import verbs

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "actionclip"
MODULES = sorted(SOURCE.rglob("*.py"))
ROOMS = sorted({module.parent for module in MODULES} - {SOURCE})
WRITTEN = [*MODULES, *sorted((ROOT / "tests").rglob("*.py")), *sorted(ROOT.glob("examples/*.py"))]
VERBS = list(verbs())

LARGE_ROOMS = {
    "cli": (22, "a file for each verb, and what the verbs share"),
}
"""Rooms with more than seven files besides `__init__.py`: how many, and why. Never more."""


def in_source(path):
    return path.relative_to(SOURCE).as_posix()


def _is_overload(node):
    return any(getattr(d, "id", "") == "overload" for d in node.decorator_list)


def public(path):
    """The public classes, functions and methods of a module."""
    holders = [ast.parse(path.read_text())]
    while holders:
        for node in holders.pop().body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                if _is_overload(node):
                    continue
                yield node
                if isinstance(node, ast.ClassDef):
                    holders.append(node)


@pytest.mark.parametrize("module", MODULES, ids=in_source)
def test_a_module_is_a_chapter(module):
    assert len(module.read_text().splitlines()) <= 400


@pytest.mark.parametrize("module", MODULES, ids=in_source)
def test_a_function_fits_on_a_screen(module):
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.FunctionDef):
            # The signature of a command is a list of its options; what it does has to fit.
            first = node.body[0].lineno if module.parent.name == "cli" else node.lineno
            lines = node.end_lineno - first + 1
            assert lines <= 60, f"{in_source(module)}:{node.lineno} {node.name}: {lines} lines"


@pytest.mark.parametrize("room", ROOMS, ids=in_source)
def test_a_room_can_be_seen_at_a_glance(room):
    files = [path for path in room.glob("*.py") if path.name != "__init__.py"]
    allowed, _ = LARGE_ROOMS.get(in_source(room), (7, ""))

    assert len(files) <= allowed, f"{len(files)} files: it is two rooms"


def test_the_list_of_large_rooms_is_not_longer_than_it_must_be():
    counts = {
        in_source(room): len([p for p in room.glob("*.py") if p.name != "__init__.py"])
        for room in ROOMS
    }

    assert {name: counts[name] for name in LARGE_ROOMS} == {
        n: c for n, (c, _) in LARGE_ROOMS.items()
    }
    assert all(count > 7 for count, _ in LARGE_ROOMS.values())


@pytest.mark.parametrize("module", MODULES, ids=in_source)
def test_what_is_public_says_what_it_is(module):
    assert (ast.get_docstring(ast.parse(module.read_text())) or "").strip(), "the module itself"
    for node in public(module):
        assert ast.get_docstring(node), f"{in_source(module)}:{node.lineno} {node.name}"


@pytest.mark.parametrize("module", MODULES, ids=in_source)
def test_only_the_command_line_prints(module):
    if module.parent.name == "cli":
        return
    names = {
        node.func.id
        for node in ast.walk(ast.parse(module.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert "print" not in names


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_left_for_later(path):
    text = path.read_text()
    for word in ("TO" + "DO", "FIX" + "ME", "XX" + "X", "raise NotImplemented" + "Error"):
        assert word not in text


def test_no_two_files_of_tests_share_a_name():
    """They are imported without their folders: only the first of a name would run."""
    names = Counter(path.name for path in WRITTEN if path.name.startswith("test_"))
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("path", sorted(ROOT.glob("examples/*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path):
    assert len(path.read_text().splitlines()) <= 40


@pytest.fixture(scope="module")
def helps():
    """What `--help` of every verb prints, and the modules that Python then has loaded."""
    code = """
import io, json, sys
from contextlib import redirect_stdout
from actionclip.cli import main
texts = {}
for verb in json.loads(sys.argv[1]):
    sys.argv = ["actionclip", *verb, "--help"]
    with redirect_stdout(io.StringIO()) as text:
        try:
            main()
        except SystemExit as end:
            assert not end.code, verb
    texts[" ".join(verb)] = text.getvalue()
print(json.dumps({"texts": texts, "modules": sorted(sys.modules)}))
"""
    asked = json.dumps([[], *(verb.split() for verb in VERBS)])
    done = subprocess.run(
        [sys.executable, "-c", code, asked], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_help_imports_nothing_slow(helps):
    slow = {"torch", "av", "open_clip", "torchvision", "matplotlib", "numpy"}

    assert not slow & set(helps["modules"])


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_every_verb_shows_an_example(helps, verb):
    text = helps["texts"][verb]

    assert "Examples:" in text
    assert f"actionclip {verb}" in text.partition("Examples:")[2]


def test_help_lists_every_verb(helps):
    assert [verb for verb in VERBS if verb.split()[0] not in helps["texts"][""]] == []


def test_the_package_runs_where_its_script_is_not_on_the_path():
    command = [sys.executable, "-m", "actionclip", "--version"]

    assert subprocess.check_output(command, text=True) == f"actionclip {actionclip.__version__}\n"


def test_the_public_names_are_there():
    for name in actionclip.__all__:
        assert getattr(actionclip, name) is not None
    assert set(actionclip.__all__) <= set(dir(actionclip))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip wheel .` builds."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "."]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode and "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("building a wheel fetches hatchling, and no package index can be reached")
    assert done.returncode == 0, done.stderr
    [path] = folder.glob("*.whl")
    return path


@pytest.mark.slow
def test_the_wheel_has_all_of_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = message_from_bytes(
            archive.read(next(n for n in names if n.endswith("/METADATA")))
        )

    assert metadata["Version"] == actionclip.__version__
    tracked = [p for p in SOURCE.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    assert {f"actionclip/{in_source(path)}" for path in tracked} <= names
    assert {name.split("/")[0] for name in names} == {
        "actionclip",
        f"actionclip-{actionclip.__version__}.dist-info",
    }
    assert any("labels" in name and name.endswith("kinetics400.txt") for name in names)


@pytest.mark.slow
def test_the_wheel_works_away_from_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    code = "import sys, actionclip.cli as c; assert sys.argv.pop(1) in c.__file__; c.main()"

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "site"), *arguments],
            env={
                "PYTHONPATH": str(tmp_path / "site"),
                "PATH": "/usr/bin:/bin",
                "HOME": str(tmp_path),
            },
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    demo = run("demo")
    assert demo.returncode == 0, demo.stderr
    doctor = run("doctor", "--json")
    assert doctor.returncode in (0, 3), doctor.stderr
    assert json.loads(doctor.stdout)["versions"]["actionclip"] == actionclip.__version__
    video = next((tmp_path / "demo").glob("*.mp4"))
    answer = run("classify", str(video), "--labels", "running, waving", "--model", "tiny", "--json")
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)["scores"]) == 2
