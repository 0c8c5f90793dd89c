"""Files as examples: a function of seed, index and epoch, whatever the files are like."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from actionclip.data.manifest import Manifest, Row, read_manifest
from actionclip.errors import ActionCLIPError
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.training.sources.clips import Clips, training_sampling
from actionclip.training.sources.failures import Failures
from actionclip.training.sources.manifests import ManifestEntries
from actionclip.video.augment import OPERATIONS, Augment, augment, rand_augment
from actionclip.video.decode import DecodePool
from actionclip.video.settings import Preprocess, ReadRequest, Resize, Sampling
from actionclip.video.sources import find_videos
from actionclip.video.transforms import cut
from recipes_for_tests import failures_in, render_people

CONFIG = ModelConfig(
    backbone=BackboneConfig(name="none", architecture={}),
    sampling=Sampling(frames=3),
    preprocess=Preprocess(size=32),
)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A manifest of nine rendered clips."""
    return read_manifest(render_people(tmp_path_factory.mktemp("people"), 9))


@pytest.fixture
def opened():
    """Makes sources, and ends what decodes for them."""
    made = []

    def open_clips(manifest, *, most=0.5, captions=False, seed=1, **more):
        entries = ManifestEntries(manifest, captions=captions)
        clips = Clips(
            entries,
            more.pop("config", CONFIG),
            more.pop("chance", Augment()),
            seed=seed,
            random_frames=more.pop("random_frames", True),
            failures=Failures(entries.different, most),
            decoders=more.pop("decoders", 1),
        )
        made.append(clips)
        return clips

    yield open_clips
    for clips in made:
        clips.close()


def same(one, other):
    return torch.equal(one.frames, other.frames) and one.label == other.label


def test_a_clip_is_a_function_of_seed_index_and_epoch(people, opened):
    clips, again = opened(people), opened(people, decoders=2)

    first = clips[4, 0]
    assert first.frames.shape == (3, 3, 32, 32)
    assert first.frames.dtype == torch.uint8
    assert same(first, again[4, 0])
    assert not same(first, clips[4, 1])
    assert not same(first, opened(people, seed=2)[4, 0])
    together = again.__getitems__([(i, 3) for i in range(9)])
    assert all(same(example, clips[i, 3]) for i, example in enumerate(together))
    assert clips.labels == people.classes
    assert [example.label for example in together] == [
        people.numbers[row.labels[0]] for row in people.rows
    ]


def broken_in(people, tmp_path, *numbers):
    """A copy of the clips in which some files are no videos."""
    folder = tmp_path / "broken"
    shutil.copytree(people.root, folder)
    for number in numbers:
        (folder / people.rows[number].path).write_bytes(b"this is not a video" * 99)
    return replace(people, root=folder)


def test_a_file_that_cannot_be_read_is_replaced_by_the_same_one_each_time(people, opened, tmp_path):
    manifest = broken_in(people, tmp_path, 4, 7)
    clips, again, whole = opened(manifest), opened(manifest), opened(people)

    stands_in = {epoch: clips[4, epoch] for epoch in range(6)}

    assert all(same(again[4, epoch], stands_in[epoch]) for epoch in reversed(range(6)))
    assert len({example.label for example in stands_in.values()}) > 1
    assert all(same(clips[i, 2], whole[i, 2]) for i in range(9) if i not in (4, 7))
    clips[7, 0]
    [first, second] = clips.failures.listed()
    assert {first["path"], second["path"]} == {people.rows[i].path for i in (4, 7)}
    assert first["code"] == "unreadable"
    assert first["reason"]


def test_more_failures_than_agreed_end_the_run_with_the_list(people, opened, tmp_path):
    manifest = broken_in(people, tmp_path, 1, 2, 3)
    clips = opened(manifest, most=0.25)  # two of nine
    clips.failures.keep_in(tmp_path / "run")

    with pytest.raises(ActionCLIPError) as error:  # one may also stand in for another
        [clips[number, 0] for number in (1, 2, 1, 3)]

    assert "3 of 9 clips could not be read" in str(error.value)
    for number in (1, 2, 3):
        assert people.rows[number].path in str(error.value)
    assert "data.most_failures" in str(error.value)
    listed = [row["path"] for row in failures_in(tmp_path / "run")]
    assert sorted(listed) == sorted(people.rows[number].path for number in (1, 2, 3))


def test_a_stretch_after_the_end_of_its_film_is_one_clip_of_many(people, opened, tmp_path):
    film, label = people.rows[0].path, people.rows[0].labels
    rows = [Row(film, label, tenth / 20, tenth / 20 + 0.25) for tenth in range(9)]
    clips = opened(replace(people, rows=(*rows, Row(film, label, 99.0))), most=0.1)
    clips.failures.keep_in(tmp_path / "run")

    assert clips[9, 0].label == people.numbers[label[0]]

    [listed] = failures_in(tmp_path / "run")
    assert listed["path"] == f"{film}#t=99"
    with pytest.raises(ActionCLIPError, match=r"1 of 10 clips could not be read:\n  .*#t=99: "):
        opened(replace(people, rows=(*rows, Row(film, label, 99.0))), most=0.05)[9, 0]


def note(clips, manifest, *numbers):
    """Files that cannot be read, as a source that reads them would report them."""
    for row in (manifest.rows[number] for number in numbers):
        clips.failures.add(row.path, clips.pool.read(manifest.source(row)))


def started(opened, manifest, run, ranks=1):
    """One source for each process of a start of a run; two of nine files may fail."""
    sources = [opened(manifest, most=0.25) for _ in range(ranks)]
    for rank, clips in enumerate(sources):
        clips.failures.keep_in(run, rank)
    return sources


def test_failures_of_all_processes_count_together(tmp_path, people, opened):
    manifest = broken_in(people, tmp_path, 1, 2, 3)
    run = tmp_path / "run"
    first, second, third = started(opened, manifest, run, ranks=3)
    note(first, manifest, 1)
    note(second, manifest, 2)
    with (run / "failures.csv").open("a") as file:
        file.write("half a li")  # a process was killed while it wrote

    assert len(first.failures.listed()) == len(second.failures.listed()) == 2
    with pytest.raises(ActionCLIPError, match="3 of 9 clips"):
        third[3, 0]


def test_what_fails_again_counts_again_in_every_process_and_is_listed_once(
    tmp_path, people, opened
):
    manifest = broken_in(people, tmp_path, 1, 2, 3)
    run = tmp_path / "run"
    [alone] = started(opened, manifest, run)
    with pytest.raises(ActionCLIPError) as before:
        note(alone, manifest, 1, 2, 3)

    [alone] = started(opened, manifest, run)
    note(alone, manifest, 1, 2)
    with pytest.raises(ActionCLIPError) as after:
        note(alone, manifest, 3)
    with pytest.raises(ActionCLIPError):
        note(alone, manifest, 3)
    assert str(after.value) == str(before.value)

    first, second = started(opened, manifest, run, ranks=2)
    note(second, manifest, 1, 2)
    with pytest.raises(ActionCLIPError, match="3 of 9 clips"):
        note(first, manifest, 3)
    paths = [row["path"] for row in failures_in(run)]
    assert sorted(paths) == sorted(people.rows[number].path for number in (1, 2, 3))


def test_files_that_were_repaired_stay_listed_and_do_not_count(tmp_path, people, opened):
    run = tmp_path / "run"
    manifest = broken_in(people, tmp_path, 1, 2, 3, 4)
    [before] = started(opened, manifest, run)
    note(before, manifest, 1, 2)

    [after] = started(opened, manifest, run)
    note(after, manifest, 3, 4)
    with pytest.raises(ActionCLIPError, match="3 of 9 clips") as error:
        note(after, manifest, 1)

    assert people.rows[2].path not in str(error.value)
    listed = [row["path"] for row in after.failures.listed()]
    assert listed == sorted(people.rows[number].path for number in (1, 2, 3, 4))


def test_a_source_that_is_trained_on_twice_counts_anew(tmp_path, people, opened):
    manifest = broken_in(people, tmp_path, 1, 2, 3, 4)
    [clips] = started(opened, manifest, tmp_path / "run")
    note(clips, manifest, 1, 2)

    clips.failures.keep_in(tmp_path / "run")
    note(clips, manifest, 3, 4)
    with pytest.raises(ActionCLIPError, match="3 of 9 clips"):
        note(clips, manifest, 2)
    assert len(failures_in(tmp_path / "run")) == 4


def test_failures_found_before_there_is_a_folder_are_written_and_count(tmp_path, people, opened):
    manifest = broken_in(people, tmp_path, 1, 2, 3)
    clips = opened(manifest, most=0.25)
    note(clips, manifest, 1, 2)

    clips.failures.keep_in(tmp_path / "run")

    assert len(failures_in(tmp_path / "run")) == 2
    with pytest.raises(ActionCLIPError, match="3 of 9 clips"):
        note(clips, manifest, 3)


def test_a_stretch_is_cut_out_and_several_labels_are_a_vector(people, opened):
    row = people.rows[0]
    rows = (
        replace(row, start=0.0, end=0.25),
        replace(row, start=0.5),
        replace(row, labels=(people.classes[0], people.classes[2])),
        replace(row, labels=()),
    )
    plain = Augment(crop="centre", flip=False, jitter=0, grey=0)
    clips = opened(replace(people, rows=rows), random_frames=False, chance=plain)

    assert len(clips) == 3
    assert not torch.equal(clips[0, 0].frames, clips[1, 0].frames)
    assert torch.equal(clips[0, 0].frames, clips[0, 1].frames)
    assert clips[2, 0].label.tolist() == [1, 0, 1]
    assert sum(clips[0, 0].label.tolist()) == 1


def test_images_with_captions_are_videos_of_one_frame(tmp_path, opened):
    for number in range(3):
        Image.new("RGB", (40, 30), (200, 60 * number, 0)).save(tmp_path / f"{number}.png")
    rows = tuple(Row(f"{n}.png", caption=f"a red picture {n}") for n in range(3))
    plain = Augment(crop="centre", flip=False, jitter=0, grey=0)
    clips = opened(Manifest((*rows, Row("none.png")), root=tmp_path), captions=True, chance=plain)

    example = clips[1, 0]
    assert len(clips) == 3
    assert clips.labels == ()
    assert example.text == "a red picture 1"
    assert example.frames.shape == (3, 3, 32, 32)
    assert example.frames[:, :, 16, 16].tolist() == [[200, 60, 0]] * 3


def test_nothing_to_say_is_an_error(people):
    with pytest.raises(ActionCLIPError, match="None of the 1 clips has a caption"):
        ManifestEntries(Manifest((Row("a.mp4", ("walking",)),)), captions=True)


def test_training_draws_frames_unless_told_otherwise():
    centres, spaced = Sampling(frames=4, windows=3), Sampling(rule="spaced", frames=4, spacing=0.5)

    assert training_sampling(centres, True) == Sampling(rule="random", frames=4)
    assert training_sampling(centres, False) == Sampling(frames=4)
    assert training_sampling(spaced, True) == spaced


def test_random_starts_of_spaced_windows(people, opened):
    config = replace(CONFIG, sampling=Sampling(rule="spaced", frames=2, spacing=0.1))
    plain = Augment(crop="centre", flip=False, jitter=0, grey=0)
    drawn = opened(people, config=config, chance=plain)
    fixed = opened(people, config=config, chance=plain, random_frames=False)

    assert len({drawn[0, epoch].frames.numpy().tobytes() for epoch in range(8)}) > 3
    assert len({fixed[0, epoch].frames.numpy().tobytes() for epoch in range(3)}) == 1


SMALL = Preprocess(size=32, resize=Resize(size=32))


def still(height=48, width=64, frames=4):
    """A video in which nothing moves."""
    one = np.random.default_rng(5).integers(0, 255, (1, height, width, 3), dtype=np.uint8)
    return np.repeat(one, frames, axis=0)


@pytest.mark.parametrize("crop", ["multi_scale", "centre"])
def test_chance_is_the_same_for_all_frames_of_a_clip(crop):
    settings = Augment(crop=crop, operations=2, magnitude=9, jitter=1.0, grey=0.5)
    results = [augment(still(), SMALL, settings, (1, 2, number)) for number in range(12)]

    for result in results:
        assert result.shape == (4, 3, 32, 32)
        assert result.dtype == torch.uint8
        assert torch.equal(result, result[:1].expand_as(result))
    assert len({result.numpy().tobytes() for result in results}) == 12
    assert torch.equal(results[3], augment(still(), SMALL, settings, (1, 2, 3)))


@pytest.mark.parametrize("mode", ["shortest", "squash", "longest"])
def test_without_chance_a_clip_is_cut_as_in_a_test(mode, people, opened):
    resize = Resize(mode=mode, size=40 if mode == "shortest" else 32)
    preprocess = Preprocess(size=32, resize=resize)
    sampling = Sampling(frames=4)
    config = replace(CONFIG, preprocess=preprocess, sampling=sampling)
    plain = Augment(crop="centre", flip=False, jitter=0, grey=0)
    source = opened(people, config=config, chance=plain, random_frames=False)

    learnt = source[0, 0].frames

    with DecodePool(1) as pool:
        request = ReadRequest(sampling=sampling, resize=resize)
        [source] = find_videos([people.path_of(people.rows[0])])
        clip = pool.read(source, request)
    tested, _ = cut(clip.windows(), preprocess)
    assert torch.equal(learnt, tested[0, 0])


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_of_randaugment_changes_pixels_and_not_their_shape(name, monkeypatch):
    for other in list(OPERATIONS):
        if other != name:
            monkeypatch.delitem(OPERATIONS, other)
    frames = torch.from_numpy(still()[..., ::-1].copy()).permute(0, 3, 1, 2)
    frames = (frames // 2) + 40  # not the full range, so that autocontrast has something to do

    after = rand_augment(frames, Augment(operations=1, magnitude=9), np.random.default_rng(0))

    assert after.shape == frames.shape
    assert after.dtype == torch.uint8
    assert not torch.equal(after, frames)


def test_half_of_the_clips_are_mirrored_and_none_where_it_is_forbidden():
    frames = still()
    frames[:] = np.linspace(0, 255, 64)[:, None]  # darkest on the left
    plain = Augment(crop="centre", flip=True, jitter=0, grey=0)

    def dark_side(settings, number):
        result = augment(frames, SMALL, settings, (number,)).float()
        return "left" if result[..., :16].mean() < result[..., 16:].mean() else "right"

    sides = [dark_side(plain, number) for number in range(60)]
    assert 20 <= sides.count("right") <= 40
    never = replace(plain, flip=False, crop="multi_scale")
    assert {dark_side(never, number) for number in range(20)} == {"left"}


@pytest.mark.parametrize("wrong", [{"jitter": 1.5}, {"operations": -1}, {"magnitude": 31}])
def test_chance_that_could_only_be_a_mistake_is_refused(wrong):
    with pytest.raises(ActionCLIPError):
        Augment(**wrong)
