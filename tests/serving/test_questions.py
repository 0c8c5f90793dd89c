"""Questions over HTTP get the answers of Python."""

import hashlib
import json
import time

import pytest

import actionclip
from serving_client import Client, served

LABELS = ["waving one hand", "jumping jacks", "running"]


@pytest.fixture(scope="session")
def truth(paths):
    """What Python says of each clip."""
    with actionclip.load("tiny", device="cpu", workers=1) as model:
        results = list(model.results(paths, LABELS, top_k=None))
        vectors = model.embed_video(paths)
    return results, vectors


def by_label(row):
    return {score["label"]: score["score"] for score in row["scores"]}


def same(row, result):
    expected = {score.label: score.score for score in result.scores}
    return by_label(row) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_video_sent_as_it_is_or_in_a_form_gets_pythons_answer(service, clips, truth, number):
    plain = service.send("/classify", clips[number], labels=",".join(LABELS), top_k="")
    form = service.send_form(
        "/classify", ("file", "a.mp4", clips[number]), *(("labels", label) for label in LABELS)
    )

    for answer in (plain, form):
        assert answer.status == 200
        assert same(answer.json, truth[0][number])
        expected = truth[0][number].to_dict()
        for key in ("status", "frames", "seconds", "precision"):
            assert answer.json[key] == expected[key]
    assert form.json["source"] == "a.mp4"


def test_the_keys_are_those_of_the_command_line(service, clips, truth):
    row = service.send("/classify", clips[0], labels="running,clapping").json

    assert set(row) == {*truth[0][0].to_dict(), "video", "warnings"}


def test_other_labels_need_no_second_upload(service, clips, truth):
    video = service.send("/classify", clips[1], labels="running,clapping").json["video"]

    again = service.ask("/classify", video=video, labels=LABELS)

    assert again.status == 200
    assert again.json["video"] == video
    assert same(again.json, truth[0][1])


def test_known_labels_are_scored_at_once(service, clips):
    video = service.send("/classify", clips[1], labels="running,clapping").json["video"]
    service.ask("/classify", video=video, labels="kinetics400", top_k=3)
    before, passes = service.processor_seconds(), service.get("/health").json["passes"]
    for number in range(20):
        answer = service.ask("/classify", video=video, labels=LABELS[number % 2 :], top_k=1)
        assert answer.status == 200

    assert service.processor_seconds() - before < 20 * 0.05
    assert service.get("/health").json["passes"] == passes


@pytest.mark.slow
def test_known_labels_are_scored_within_fifty_milliseconds(service, clips):
    video = service.send("/classify", clips[1], labels=",".join(LABELS)).json["video"]
    times = []
    for number in range(10):
        start = time.perf_counter()
        service.ask("/classify", video=video, labels=LABELS[number % 2 :], top_k=1)
        times.append(time.perf_counter() - start)

    assert sorted(times)[5] < 0.05


def test_embeddings_are_pythons(service, clips, truth):
    answer = service.send("/embed", clips[2])

    assert answer.json["embedding"] == pytest.approx(truth[1][2].tolist(), abs=1e-5)
    assert answer.json["scores"] == []
    again = service.ask("/embed", video=answer.json["video"])
    assert again.json["embedding"] == answer.json["embedding"]


def test_the_sampled_frames_can_be_seen(service, clips):
    video = service.send("/classify", clips[0], labels="running,clapping").json["video"]

    frames = service.get(f"/videos/{video}/frames").json["frames"]

    assert 1 < len(frames) <= 16
    times = [frame["time"] for frame in frames]
    assert times == sorted(times)
    assert all(frame["image"].startswith("data:image/jpeg;base64,/9j/") for frame in frames)


def test_what_is_not_to_be_kept_is_not(service, clips):
    answer = service.send("/classify", clips[0] + b"\0\0\0\x08free", labels="a,b", keep="false")

    assert answer.status == 200
    assert answer.json["video"] is None


def test_what_is_known_already_is_not_named_or_kept_longer_where_that_is_not_wanted(spool, clips):
    model = actionclip.load("tiny", device="cpu", workers=1)
    with served(model, folder=spool) as (url, insides):
        client, kept = Client(url), insides.service.kept
        for path in ("/classify", "/timeline"):
            client.send(path, clips[0], labels="a,b")
            before = kept.find(hashlib.sha256(clips[0]).hexdigest()).used

            again = client.send(path, clips[0], labels="a,b", keep="false")

            assert (again.status, again.json["video"]) == (200, None)
            assert kept.find(hashlib.sha256(clips[0]).hexdigest()).used == before


def test_the_frames_are_those_of_the_answer_that_named_the_video(service, clips):
    def times(**views):
        sent = service.send("/classify", clips[2], labels="a,b", windows=1, **views).json["video"]
        frames = service.get(f"/videos/{sent}/frames").json["frames"]
        return [frame["time"] for frame in frames]

    few, many = times(frames=2), times(frames=5)
    video = service.send("/classify", clips[2], labels="a,b", windows=1, frames=2).json["video"]
    assert (len(few), len(many)) == (2, 5)
    assert (times(frames=2), times(frames=5), times(frames=2)) == (few, many, few)
    service.ask("/classify", video=video, labels="a,b", windows=1, frames=5)
    assert len(service.get(f"/videos/{video}/frames").json["frames"]) == 5


def test_reject_threshold_and_sets_of_labels_are_understood(service, clips):
    video = service.send("/classify", clips[0], labels="running,clapping").json["video"]

    rejecting = service.ask(
        "/classify", video=video, labels=["running"], reject=["standing", "sitting"], top_k=None
    )
    strict = service.ask("/classify", video=video, labels=LABELS, threshold=0.9999)
    many = service.ask("/classify", video=video, labels="ucf101", top_k=None)

    assert {"running", "none of these"} == set(by_label(rejecting.json))
    assert sum(by_label(rejecting.json).values()) == pytest.approx(1, abs=1e-5)
    assert list(by_label(strict.json)) == ["none of these"]
    assert len(many.json["scores"]) == 101


@pytest.mark.parametrize("asked", [{"reject": ["running"]}, {"threshold": 0.3}])
def test_a_label_called_as_the_answer_where_nothing_fits_is_refused(service, clips, asked):
    video = service.send("/classify", clips[0], labels="running,clapping").json["video"]
    answer = service.ask("/classify", video=video, labels=["None of these", "walking"], **asked)

    assert (answer.status, answer.code) == (400, "labels")
    assert "'None of these'" in answer.json["error"]["message"]


def test_a_name_is_shown_without_what_turns_other_text(service):
    word = "\u0645\u06cc\u200c\u0631"
    answer = service.send("/classify", b"no video", labels="a,b", name=f"{word}\u202e.mp4")

    assert answer.json["source"] == f"{word}.mp4"


def test_lists_that_a_program_writes_into_a_form_as_json_are_lists(service, clips):
    file = ("file", "a.mp4", clips[0])
    lists = {"labels": LABELS, "reject": ["standing still"], "templates": ["a video of {}", "{}"]}
    written = [(name, json.dumps(value)) for name, value in lists.items()]

    form = service.send_form("/classify", file, *written).json
    address = service.send("/classify", clips[0], **dict(written)).json
    body = service.ask("/classify", video=form["video"], **lists).json
    assert set(by_label(form)) == {*LABELS, "none of these"}
    assert form["scores"] == address["scores"] == body["scores"]
    numbers = service.send_form("/classify", file, ("labels", "[1, 2]"))
    assert (numbers.status, numbers.code) == (400, "request")
    words = service.send_form("/classify", file, ("labels", "[music], running")).json
    assert set(by_label(words)) == {"[music]", "running"}


@pytest.mark.parametrize("path", ["/classify", "/timeline"])
def test_one_content_under_two_names_is_called_as_it_came_last(service, clips, path):
    content, labels = clips[1] + path.encode(), ("labels", "running,clapping")
    service.send_form("/embed", ("file", "of somebody else.mp4", content))
    service.send_form(path, ("file", "first.mp4", content), labels)
    second = service.send_form(path, ("file", "second.mp4", content), labels).json
    video = second["video"]

    assert second["source"] == "second.mp4"
    for asked in (path, "/classify"):
        assert service.ask(asked, video=video, labels=LABELS).json["source"] == "second.mp4"
        named = service.ask(asked, video=video, labels=LABELS, name="third.mp4").json
        assert named["source"] == "third.mp4"


@pytest.mark.parametrize("path", ["/classify", "/timeline"])
def test_who_sends_the_same_file_by_another_name_learns_and_changes_nothing(service, clips, path):
    content, labels = clips[1] + b"shared" + path.encode(), ("labels", "running,clapping")
    mine = service.send_form(path, ("file", "my holiday.mp4", content), labels).json
    before = service.get("/health").json["passes"]
    frames = service.get(f"/videos/{mine['video']}/frames").json["frames"]
    theirs = service.send_form(path, ("file", "theirs.mp4", content), labels).json
    assert service.get("/health").json["passes"] == before  # it was worked on once
    service.send("/classify", content, labels="a,b", frames=2, windows=1, name="theirs.mp4")

    assert theirs["video"] != mine["video"]
    for one, name in ((mine, "my holiday.mp4"), (theirs, "theirs.mp4")):
        assert service.ask(path, video=one["video"], labels=LABELS).json["source"] == name
    assert service.get(f"/videos/{mine['video']}/frames").json["frames"] == frames


EMPTY = ["video", "name", "keep", "templates", "ensemble", "reject", "clean_labels", "threshold"]


def test_an_empty_field_of_a_form_counts_as_not_there(service, clips):
    file, labels = ("file", "a.mp4", clips[0]), ("labels", "running,clapping")
    frames = ["frames", "windows", "spacing", "crops"]
    times = ["window", "stride", "multi_label", "leave", "smooth", "min_length", "merge_gap"]
    for path, more in (("/classify", frames), ("/timeline", times)):
        plain = service.send_form(path, file, labels)
        empty = service.send_form(path, file, labels, *((name, "") for name in EMPTY + more))

        assert (plain.status, empty.status) == (200, 200)
        assert empty.json == plain.json
    unknown = service.send_form("/classify", file, labels, ("lables", ""))
    assert (unknown.status, unknown.code) == (400, "request")


def test_a_broken_video_is_a_row_with_its_outcome(service):
    answer = service.send("/classify", b"this is no video", labels="a,b", name="x.mp4")

    assert answer.status == 422
    assert answer.json["source"] == "x.mp4"
    assert answer.json["status"] == answer.code == "unreadable"
    assert answer.json["error"]["hint"]
    assert answer.json["scores"] == []


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"labels": "running, running"}, 400, "labels"),
        ({"labels": []}, 400, "labels"),
        ({"labels": ","}, 400, "labels"),
        ({"labels": ["x" * 3000]}, 400, "labels"),
        ({"labels": [f"label {n}" for n in range(10_000)]}, 400, "labels"),
        ({"labels": "a,b", "templates": ["no place for it"]}, 400, "labels"),
        ({"labels": "a,b", "top_k": 0}, 400, "request"),
        ({"labels": "a,b", "top_k": "many"}, 400, "request"),
        ({"labels": "a,b", "windows": 100_000}, 400, "request"),
        ({"labels": "a,b", "lables": "c"}, 400, "request"),
        ({"labels": ["\ud800"]}, 400, "request"),
        ({"labels": {"a": 1}}, 400, "request"),
        ({"labels": "a,b", "frames": 3}, 409, "other_frames"),
        ({"labels": "a,b", "video": "guessed"}, 404, "unknown_video"),
        ({"labels": "a,b", "video": None}, 400, "request"),
    ],
)
def test_what_cannot_be_answered_says_why(service, clips, fields, status, code):
    video = service.send("/classify", clips[0], labels="running,clapping").json["video"]

    answer = service.ask("/classify", **{"video": video, **fields})

    assert (answer.status, answer.code) == (status, code)
    assert "Traceback" not in answer.body.decode()


def test_labels_are_never_read_from_a_file_of_the_server(service, clips, tmp_path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret\n")
    video = service.send("/classify", clips[0], labels="running,clapping").json["video"]

    for fields in ({"labels": str(secret)}, {"labels": "a,b", "templates": str(secret)}):
        answer = service.ask("/classify", video=video, **fields)
        assert b"the secret" not in answer.body


@pytest.mark.parametrize("path", ["/classify/", "/health/", "/labels/"])
def test_an_address_with_a_slash_too_many_is_an_error_and_leads_nowhere(service, path):
    method = "POST" if path == "/classify/" else "GET"
    answer = service.request(method, path, headers={"X-Forwarded-Host": "films.example"})

    assert (answer.status, answer.code) == (404, "not_found")
    assert "location" not in answer.headers


def test_facts_can_be_looked_up(service):
    health = service.get("/health").json
    models = service.get("/models").json
    sets = service.get("/labels").json["sets"]

    assert (health["status"], health["model"]) == ("ok", "tiny")
    assert health["limits"]["upload"] == 2**20
    assert models["serving"]["name"] == "tiny"
    assert models["serving"]["random_weights"] is False
    assert "tiny" in {entry["name"] for entry in models["models"]}
    assert sets["kinetics400"] == 400
    assert len(service.get("/labels/ucf101").json["labels"]) == 101
    assert service.get("/labels/nothing").status == 404


def test_the_reference_lists_every_route_and_loads_nothing_from_elsewhere(service):
    api = service.get("/openapi.json").json
    page = service.get("/docs").body.decode()

    assert {"/classify", "/embed", "/search", "/health", "/models"} <= set(api["paths"])
    assert all(path in page for path in api["paths"])
    assert "http://" not in page
    assert "https://" not in page
    fields = {field["name"] for field in api["paths"]["/classify"]["post"]["parameters"]}
    assert {"labels", "top_k", "templates", "reject", "threshold", "video"} <= fields
    about_search = page.partition("POST /search")[2].partition("<section>")[0]
    assert "What to look for, in words." in about_search
    assert "How many moments to report." in about_search


NEEDED = {path: [("labels", "a,b")] for path in ("/classify", "/timeline", "/explain")}


def test_the_reference_says_what_is_answered(service, clips):
    api = service.get("/openapi.json").json
    assert "security" not in json.dumps(api)  # of this service nobody has to know a token
    assert "ValidationError" not in json.dumps(api)  # what is wrong with a field is a 400
    for path, methods in api["paths"].items():
        [(method, what)] = methods.items()
        if method == "post" and path != "/search":
            broken = service.send_form(path, ("file", "a.mp4", b"no video"), *NEEDED.get(path, []))
            told = what["responses"][str(broken.status)]
            name = told["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
            required = set(api["components"]["schemas"][name]["required"])
            assert broken.status == 422
            assert required <= set(broken.json)
    bytes_of = {"/index/{file}": "video/*", "/index/{file}/frame": "image/jpeg"}
    for path, kind in bytes_of.items():
        assert list(api["paths"][path]["get"]["responses"]["200"]["content"]) == [kind]
    timeline = service.send("/timeline", clips[0], labels="running,walking").json
    assert set(timeline) - {"error"} <= set(
        api["components"]["schemas"]["TimelineAnswer"]["properties"]
    )


@pytest.mark.parametrize("path", ["/", "/health", "/models", "/labels/ucf101", "/page/main.js"])
def test_head_is_get_without_a_body(service, path):
    head, get = service.request("HEAD", path), service.get(path)

    assert head.status == get.status == 200
    assert head.body == b""
    for name in ("content-type", "content-security-policy", "cache-control"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", "/classify", "POST"),
        ("PUT", "/classify", "POST"),
        ("HEAD", "/embed", "POST"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", "/labels", "GET, HEAD"),
    ],
)
def test_another_method_is_told_which_it_may_be(service, method, path, allowed):
    answer = service.request(method, path)

    assert answer.status == 405
    assert answer.headers["allow"] == allowed


def test_without_an_index_search_says_so(service):
    answer = service.ask("/search", query="someone jumps")

    assert (answer.status, answer.code) == (404, "no_index")


def test_a_search_takes_no_video(service, clips):
    answer = service.send("/search", clips[0], query="someone jumps")

    assert (answer.status, answer.code) == (415, "type")
