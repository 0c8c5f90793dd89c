"""Timelines over HTTP: the segments of Python, and other labels without reading the film again."""

import pytest

import actionclip
from actionclip.inference.timeline.segments import Rules
from film_of_actions import ACTIONS, shared_film
from serving_client import running

LABELS = list(ACTIONS)
OPTIONS = {"window": 1.0, "stride": 0.25}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Three actions, one after the other."""
    return shared_film(tmp_path_factory)


@pytest.fixture(scope="module")
def film(service, path):
    """The answer for a film that is kept from now on."""
    asked = {"labels": ",".join(LABELS), "threshold": 0.4, **OPTIONS}
    return service.send("/timeline", path.read_bytes(), **asked)


def test_the_answer_is_pythons(film, path):
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        result = model.timeline(path, LABELS, threshold=0.4, **OPTIONS)
    expected = result.to_dict(scores=True)

    row = film.json
    assert film.status == 200
    assert set(row) == {*expected, "video", "warnings"}
    for key in ("status", "labels", "times", "seconds", "frames", "window", "stride"):
        assert row[key] == expected[key]
    assert [s["label"] for s in row["segments"]] == [s["label"] for s in expected["segments"]]
    for found, wanted in zip(row["scores"], expected["scores"], strict=True):
        assert found == pytest.approx(wanted, abs=1e-4)


def test_other_labels_and_rules_need_no_second_reading(service, film):
    video = film.json["video"]
    fields = {"video": video, "labels": ["clapping", "bowing"], "multi_label": True, **OPTIONS}
    service.ask("/timeline", **fields)

    before = service.processor_seconds()
    answer = service.ask("/timeline", **fields)
    worked = service.processor_seconds() - before

    assert answer.status == 200
    assert answer.json["labels"] == ["clapping", "bowing"]
    assert len(answer.json["scores"]) == len(film.json["scores"])
    assert worked < 0.1


@pytest.mark.parametrize(
    ("rules", "count"),
    [
        ({"multi_label": True, "threshold": 0.05, "min_length": 0.1}, 3),
        ({"threshold": 0.05, "leave": 0.01, "smooth": 0, "min_length": 0, "merge_gap": 2}, 3),
        ({"threshold": 1}, 0),
    ],
)
def test_the_rules_are_pythons(service, film, path, rules, count):
    row = service.ask("/timeline", video=film.json["video"], labels=LABELS, **rules, **OPTIONS).json
    several = rules.get("multi_label", False)
    names = {"enter": "threshold", "leave": "leave"}
    names |= {name: name for name in ("smooth", "min_length", "merge_gap")}
    given = {name: rules[field] for name, field in names.items() if field in rules}
    if "leave" not in given:  # in proportion
        given["leave"] = given["enter"] * 2 / 3
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        expected = model.timeline(
            path, LABELS, multi_label=several, rules=Rules(**given), **OPTIONS
        ).to_dict()

    shown = [(s["label"], s["start"], s["end"]) for s in row["segments"]]
    assert shown == [(s["label"], s["start"], s["end"]) for s in expected["segments"]]
    assert row["multi_label"] == several
    assert len(shown) == count


def test_a_film_can_be_classified_without_sending_it_again(service, film):
    answer = service.ask("/classify", video=film.json["video"], labels=LABELS)

    assert answer.status == 200
    assert len(answer.json["scores"]) == 3


@pytest.mark.parametrize("other", [{"window": 1.5}, {"stride": 0.5}])
def test_other_windows_are_another_reading(service, film, other):
    fields = {**OPTIONS, **other}
    answer = service.ask("/timeline", video=film.json["video"], labels=LABELS, **fields)

    assert (answer.status, answer.code) == (409, "other_frames")


@pytest.mark.parametrize(
    "fields",
    [{"window": 0}, {"stride": -1}, {"stride": "nan"}, {"threshold": 2}, {"labels": "a, a"}],
)
def test_options_that_make_no_sense_are_refused(service, film, fields):
    answer = service.ask("/timeline", **{"video": film.json["video"], "labels": "a,b", **fields})

    assert answer.status == 400


def test_a_broken_film_is_a_row_with_its_outcome(service):
    answer = service.send("/timeline", b"this is no video", labels="a,b")

    assert answer.status == 422
    assert answer.code == answer.json["status"] == "unreadable"
    assert answer.json["segments"] == []


def test_an_index_is_searched_and_its_files_can_be_seen(tmp_path, clips):
    pytest.importorskip("lancedb")
    from actionclip.inference.search.index import Index

    folder = tmp_path / "clips"
    folder.mkdir()
    for number, clip in enumerate(clips):
        (folder / f"{number}.mp4").write_bytes(clip)
    (tmp_path / "secret.mp4").write_bytes(clips[0])
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        index = Index.open(tmp_path / "index", model, model="tiny")
        index.add(folder)
        expected = [moment.to_dict() for moment in index.search("running", 2)]

    with running(tmp_path / "spool", "--index", str(tmp_path / "index")) as client:
        answer = client.ask("/search", query="running", top=2)
        found = answer.json["moments"]
        assert answer.status == 200
        assert [{k: v for k, v in one.items() if k != "file"} for one in found] == expected
        file = found[0]["file"]
        part = client.get(f"/index/{file}", Range="bytes=0-99")
        assert (part.status, len(part.body)) == (206, 100)
        picture = client.get(f"/index/{file}/frame?time={found[0]['best']}")
        assert picture.body.startswith(b"\xff\xd8")
        assert client.get("/health").json["index"] == str(tmp_path / "index")
        for other in ("0" * 24, "..%2f..%2fsecret.mp4", file[:-1]):
            assert client.get(f"/index/{other}").status == 404
        assert client.get(f"/index/{file}/frame?time=-1").status == 400
        assert client.get(f"/index/{file}/frame?time=x").code == "request"
        assert client.ask("/search", query="").status == 400


def test_a_film_is_not_kept_where_that_is_not_wanted(service, clips):
    film = clips[0] + b"\0\0\0\x08wide"  # a film of its own, for none knows its bytes
    answer = service.send("/timeline", film, labels="a,b", keep="false")

    assert answer.status == 200
    assert answer.json["video"] is None
