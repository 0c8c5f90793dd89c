"""WebDataset shards: written from captions, read by their place in the file, in any order."""

import io
import json
import tarfile
from dataclasses import replace

import pytest
import torch
from PIL import Image
from webdataset.tariterators import group_by_keys, tar_file_expander

from actionclip.cli import main
from actionclip.data.manifest import Manifest, Row, write_manifest
from actionclip.data.shards import find_shards, write_shards
from actionclip.errors import ActionCLIPError
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.training.sources.clips import Clips
from actionclip.training.sources.failures import Failures
from actionclip.training.sources.shards import ShardEntries
from actionclip.video.augment import Augment
from actionclip.video.outcomes import VideoError
from actionclip.video.settings import Preprocess, Sampling
from recipes_for_tests import render_people

CONFIG = ModelConfig(
    backbone=BackboneConfig(name="none", architecture={}),
    sampling=Sampling(frames=2),
    preprocess=Preprocess(size=32),
)


def picture(colour):
    data = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(data, "png")
    return data.getvalue()


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """A manifest of five pictures and a video, with captions; one more has none."""
    folder = tmp_path_factory.mktemp("mixed")
    for number in range(5):
        (folder / f"{number}.png").write_bytes(picture((40 * number, 0, 200)))
    video = next(render_people(folder / "people", 1).parent.rglob("*.mp4"))
    rows = [Row(f"{n}.png", caption=f"picture {n}") for n in range(5)]
    rows += [Row(str(video.relative_to(folder)), caption="a person, é"), Row("0.png")]
    return Manifest(tuple(rows), root=folder)


def source(entries, most=0.0):
    plain = Augment(crop="centre", flip=False, jitter=0, grey=0)
    failures = Failures(entries.different, most)
    return Clips(entries, CONFIG, plain, seed=1, random_frames=True, failures=failures, decoders=1)


def test_what_is_written_is_read_in_any_order(mixed, tmp_path):
    paths = write_shards(mixed, tmp_path, pairs_each=4)

    assert [path.name for path in paths] == ["pairs-000000.tar", "pairs-000001.tar"]
    entries = ShardEntries(f"{tmp_path}/pairs-{{000000..000001}}.tar")
    assert len(entries) == 6
    assert [entries[i].text for i in (5, 0, 3)] == ["a person, é", "picture 0", "picture 3"]
    clips = source(entries)
    try:
        examples = {i: clips[i, 0] for i in (5, 4, 0)}
        assert examples[4].frames[:, :, 16, 16].tolist() == [[160, 0, 200]] * 2
        assert examples[5].frames.shape == (2, 3, 32, 32)
        assert examples[5].text == "a person, é"
        assert torch.equal(clips[5, 0].frames, examples[5].frames)
        assert not clips.failures.listed()
    finally:
        clips.close()


def test_the_library_of_the_format_reads_them_too(mixed, tmp_path):
    [path] = write_shards(mixed, tmp_path)

    with path.open("rb") as stream:
        opened = [{"url": str(path), "stream": stream}]
        pairs = list(group_by_keys(tar_file_expander(opened)))

    assert [pair["txt"].decode() for pair in pairs] == [r.caption for r in mixed.rows if r.caption]
    assert pairs[2]["png"] == picture((80, 0, 200))
    again = write_shards(mixed, tmp_path / "again")[0]
    assert again.read_bytes() == path.read_bytes()


def tar(path, **contents):
    """A tar file of some texts and bytes; `__` in a name stands for a dot."""
    with tarfile.open(path, "w") as file:
        for name, content in contents.items():
            data = content if isinstance(content, bytes) else content.encode()
            info = tarfile.TarInfo(name.replace("__", "."))
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return path


def test_captions_in_json_and_halves_of_pairs(tmp_path):
    path = tar(
        tmp_path / "a.tar",
        one__png=picture("red"),
        one__json=json.dumps({"caption": " red "}),
        two__png=picture("red"),
        three__txt="no picture",
        four__png=picture("red"),
        four__json="{}",
        five__jpg=b"no picture",
        five__txt="words",
    )
    entries = ShardEntries(str(path))

    assert (len(entries), entries.left_out) == (3, 2)
    assert entries[0].text == "red"
    with pytest.raises(VideoError, match='no "caption"'):
        entries[1]
    clips = source(entries, most=0.7)
    try:
        assert clips[1, 0].text == clips[2, 0].text == "red"  # what stands in for them
        assert [row["path"] for row in clips.failures.listed()] == [
            f"{path}/five.jpg",
            f"{path}/four.png",
        ]
    finally:
        clips.close()


def test_what_is_no_shard_is_refused(tmp_path, mixed):
    (tmp_path / "broken.tar").write_bytes(b"x" * 2000)
    tar(tmp_path / "empty.tar", a__txt="x")
    for pattern, said in (
        ("none-*.tar", "There is no shard"),
        ("none-{0..3}.tar", "There is no shard"),
        (f"{tmp_path}/broken.tar", "cannot be read"),
        (f"{tmp_path}/empty.tar", "There is no pair"),
        ("https://host/a.tar", "Addresses are not fetched"),
    ):
        with pytest.raises(ActionCLIPError, match=said):
            ShardEntries(pattern)
    tar(tmp_path / "b.tar", a__txt="x")
    both = f"{tmp_path}/b.tar::{tmp_path}/e*.tar"
    assert [path.name for path in find_shards(both)] == ["b.tar", "empty.tar"]
    for row in (Row("0.png", caption="x", start=1.0), Row("people", caption="x"), Row("0.png")):
        with pytest.raises(ActionCLIPError, match=r"cannot go into a shard|has a caption"):
            write_shards(Manifest((row,), root=mixed.root), tmp_path / "out")


def test_shards_from_the_command_line(tmp_path, monkeypatch, capsys):
    manifest = render_people(tmp_path / "people", 3)
    command = ["actionclip", "data", "shards", str(manifest), "-o", str(tmp_path / "out"), "--json"]
    monkeypatch.setattr("sys.argv", [*command, "--pairs", "2"])

    with pytest.raises(SystemExit) as end:
        main()

    assert not end.value.code
    said = json.loads(capsys.readouterr().out)
    assert said["pairs"] == 3
    assert len(said["shards"]) == 2
    assert len(ShardEntries(str(tmp_path / "out" / "*.tar"))) == 3


def test_shards_of_another_run_are_not_mixed_with_these(tmp_path, mixed):
    write_shards(mixed, tmp_path / "out", pairs_each=1)
    before = sorted(path.name for path in (tmp_path / "out").iterdir())

    with pytest.raises(ActionCLIPError, match=r"3 shards of another run, .*pairs-000003\.tar"):
        write_shards(mixed, tmp_path / "out", pairs_each=2)

    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == before
    assert len(write_shards(mixed, tmp_path / "out", pairs_each=1)) == len(before) == 6


def test_one_split_goes_into_shards(tmp_path, monkeypatch, capsys, mixed):
    rows = [
        replace(row, split=split) for row, split in zip(mixed.rows, ("train", "test"), strict=False)
    ]
    write_manifest(Manifest(tuple(rows), root=mixed.root), tmp_path / "two.csv", root=mixed.root)
    command = ["data", "shards", str(tmp_path / "two.csv"), "--root", str(mixed.root), "--json"]
    monkeypatch.setattr(
        "sys.argv", ["actionclip", *command, "-o", str(tmp_path / "out"), "--split", "test"]
    )

    with pytest.raises(SystemExit) as end:
        main()

    assert not end.value.code
    assert json.loads(capsys.readouterr().out)["pairs"] == 1
