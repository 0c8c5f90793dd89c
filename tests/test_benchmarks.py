"""The benchmarks run, and end in the line of JSON they promise; what they measure is theirs."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import forked

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
QUICK = {
    "classify": ["--quick"],
    "decode": ["--quick"],
    "eval": ["--quick"],
    "search": ["--quick"],
    "serve": ["--quick"],
    "startup": ["--quick"],
    "synthetic": ["--quick"],
    "timeline": ["--quick"],
    "train_step": ["--quick"],
    "stream": ["--quick"],
    "text": ["--model=ViT-S-32-alt", "--labels=4", "--templates=2", "--rounds=1", "--sample=1"],
}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def line_of(clips):
    """Runs a benchmark quickly, once; the last line of its stdout."""
    lines = {}

    def run(name):
        if name not in lines:
            where = [] if name in ("text", "synthetic") else [f"--clips={clips}"]
            done = forked.run(*QUICK[name], *where, program=str(BENCHMARKS / f"{name}.py"))
            assert done.returncode == 0, done.stderr
            lines[name] = json.loads(done.stdout.splitlines()[-1])
        return lines[name]

    return run


def script(name):
    """A benchmark as a module."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def table():
    return script("table")


@pytest.fixture(scope="module")
def moments():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield script("moments")


SLOW = {"train_step", "stream", "timeline", "serve", "classify", "eval", "text"}
"""Those that start many processes, or many rounds of one."""
AT_ONCE = [name for name in QUICK if name not in SLOW]


@pytest.mark.parametrize(
    "name", [*AT_ONCE, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]
)
def test_a_benchmark_says_what_ran_where(line_of, name):
    line = line_of(name)

    assert line["benchmark"] == name
    assert line["command"].startswith(f"python benchmarks/{name}.py")
    assert {"cpu", "cores", "load", "torch", "av"} <= line["machine"].keys()


@pytest.mark.slow
def test_classify_compares_with_the_straightforward_program(line_of):
    rows = line_of("classify")["rows"]

    rates = rows["tiny, tiny"]["videos/s"]
    assert {"ours", "straightforward", "only decoding"} <= rates.keys()
    assert min(rates.values()) > 0
    gain = rows["tiny, tiny"]["ours is faster"]["straightforward"]
    assert gain == line_of("classify")["worst"]
    assert rows["tiny, answers"]["same first label"] == {"ours": 1.0, "ours, fp32": 1.0}
    assert "growth MiB" in rows["memory"]


def test_decode_counts_wrong_frames_of_every_way(line_of):
    row = line_of("decode")["rows"]["tiny, 4 frames"]

    for way in ("ours", "pyav read-through"):
        assert row["one core"][way]["wrong"] == 0
        assert row["one core"][way]["ms"] > 0
    assert row["all cores"]["workers"]["wrong"] == 0


@pytest.mark.slow
def test_eval_encodes_each_frame_once_and_finds_the_same(line_of):
    row = line_of("eval")["rows"]["tiny"]

    frames = row["frames through the tower"]
    assert frames["naive"] == 30 * 8
    assert frames["ours"] < frames["naive"]
    assert row["largest difference"] < 1e-4
    assert min(row["processor seconds a clip"].values()) > 0


@pytest.mark.slow
def test_timeline_encodes_each_frame_once_and_finds_the_same(line_of):
    row = line_of("timeline")["rows"]["toy, transf"]

    frames = row["frames through the tower"]
    assert frames["every window"] == row["windows"] * 8
    assert frames["ours"] == 24
    assert row["mean cosine"] > 0.9999
    short, long = line_of("timeline")["memory"]
    assert long["film, s"] == pytest.approx(3 * short["film, s"], abs=0.1)
    assert long["windows"] > short["windows"]


@pytest.mark.slow
def test_moments_finds_more_than_fixed_windows():
    command = [sys.executable, BENCHMARKS / "moments.py", "--quick"]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    ways = json.loads(done.stdout.splitlines()[-1])["parts"]["generated"]["ways"]
    assert ways["timeline"]["mAP@0.7"][0] > ways["fixed windows"]["mAP@0.7"][0]


def test_average_precision_by_hand(moments):
    truth = moments.Truth
    film = moments.Film(None, (truth(0, 2, "a"), truth(4, 6, "a"), truth(8, 9, "b")), "0")
    found = [
        moments.Segment(0.0, 2.0, "a", 0.9),
        moments.Segment(0.0, 1.9, "a", 0.8),  # the same once more
        moments.Segment(4.0, 5.0, "a", 0.7),
    ]

    assert moments.average_precision([film], [found], "a", 0.5) == pytest.approx(0.5 + 0.5 * 2 / 3)
    assert moments.average_precision([film], [found], "a", 0.7) == pytest.approx(0.5)
    assert moments.mean_average_precision([film], [found], 0.7) == pytest.approx(0.25)
    assert sorted(moments.edge_errors([film], [found])) == pytest.approx([0, 0, 0, 0, 0.1, 1])


def test_startup_times_the_help(line_of):
    rows = line_of("startup")["rows"]

    assert rows["python"] < rows["actionclip --help"]
    assert "a decoding worker" in rows


@pytest.mark.slow
def test_stream_compares_with_the_loop_that_encodes_its_window(line_of):
    row = line_of("stream")["rows"]["small"]

    for way in ("ours", "naive"):
        assert 0 < row[way]["median ms"] <= row[way]["p95 ms"]
        assert 0 <= row[way]["dropped"] < 1
    assert row["naive / ours"] > 0
    assert row["ours"]["pictures a label"] < 2  # each frame once, and a window to begin with
    assert row["naive"]["pictures a label"] == 8


@pytest.mark.parametrize("names", [AT_ONCE, pytest.param(list(QUICK), marks=pytest.mark.slow)])
def test_the_table_holds_every_benchmark(line_of, table, names):
    text = table.render({name: line_of(name) for name in names})

    for name in names:
        assert f"benchmarks/{name}.py" in text
    assert ("| tiny, tiny (fp32) |" in text) == ("classify" in names)


def test_the_table_replaces_only_what_stands_between_the_marks(table):
    document = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"

    assert table.replaced(document, "new") == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"


def test_the_table_says_where_a_core_stood_idle(table, line_of):
    line = line_of("startup")
    machine = {**line["machine"], "cores": 4}

    for threads, said in ((1, "4 cores (1 thread), load"), (4, "4 cores, load")):
        text = table.render({"startup": {**line, "machine": machine | {"threads": threads}}})
        assert said in text


def test_the_readme_shows_the_recorded_numbers(table):
    results = table.read_results(table.RESULTS)
    readme = table.README.read_text()

    assert results, "no numbers are recorded"
    assert table.replaced(readme, table.render(results)) == readme
