"""An explanation must point at what was planted, and at nothing when the weights are noise."""

import dataclasses
import json
import threading

import numpy as np
import pytest
import torch

import actionclip
from actionclip.encoding.questions import Question
from actionclip.errors import ActionCLIPError
from actionclip.inference.explain.explaining import explain_clip
from actionclip.inference.explain.picture import draw_explanation, frames_to_show
from actionclip.model.actionclip import ActionCLIP, unit
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.prompts.post import POST
from actionclip.video.settings import Preprocess, Resize, Sampling
from architectures import ARCHITECTURES, TEXT
from sample_videos import write_video

FRAMES, SHOWN = 8, (2, 5, 6)
"""Frames of a video, and those that show the thing."""
LABELS = ["waving one hand", "jumping jacks", "running"]
TRUNK = {  # convolutions, a mean, a linear layer, like `tiny`
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": 80,
        "timm_model_name": "actionclip_tiny",
        "timm_pool": "avg",
        "timm_proj": "linear",
    },
    "text_cfg": TEXT,
}


def make_recognizer(architecture="vit", *, post="meanp", pre="none", inner="none", seed=0):
    torch.manual_seed(seed)
    described = TRUNK if architecture == "trunk" else ARCHITECTURES[architecture]
    backbone = OpenClipBackbone.from_architecture(described)
    size = backbone.image_size
    config = ModelConfig(
        backbone=BackboneConfig(name="random", architecture=described),
        prompts=PromptConfig(post=post, pre=pre, inner=inner),
        sampling=Sampling(rule="centres", frames=FRAMES, windows=1),
        preprocess=Preprocess(size=size, resize=Resize(mode="squash", size=size)),
        scale=20.0,
    )
    return actionclip.Recognizer(ActionCLIP(backbone, config))


def pictures(recognizer, seed=0):
    """A background and the thing: two pictures."""
    size = recognizer.config.preprocess.size
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 256, (2, 8, 8, 3), np.uint8)
    return cells.repeat(-(-size // 8), axis=1).repeat(-(-size // 8), axis=2)[:, :size, :size]


def embedded(recognizer, picture):
    with torch.no_grad():
        return recognizer.embed_video(np.stack([picture] * FRAMES))


def question_about(*vectors, scale=20.0):
    """Labels `a`, `b`, ... whose texts are these vectors."""
    return Question(
        labels=tuple("abcdefg"[: len(vectors)]),
        texts=torch.stack(vectors)[None],
        scale=scale,
        bias=0.0,
        ensemble="scores",
        activation="softmax",
        threshold=None,
    )


def planted(recognizer):
    """A video that shows the thing in some frames, and labels for thing and background."""
    background, thing = pictures(recognizer)
    video = np.stack([background] * FRAMES)
    video[list(SHOWN)] = thing
    labels = question_about(embedded(recognizer, thing), embedded(recognizer, background))
    return video, labels


def test_the_frames_that_show_the_thing_are_found():
    recognizer = make_recognizer()
    video, labels = planted(recognizer)

    found = recognizer.explain(video, labels, label="a", maps="none")

    assert len(found.frames) == FRAMES
    margins = np.array([frame.margin for frame in found.frames])
    drops = np.array([frame.drop for frame in found.frames])
    lost = np.array([frame.margin_drop for frame in found.frames])
    assert set(np.argsort(-margins)[: len(SHOWN)]) == set(SHOWN)
    assert set(np.argsort(-drops)[: len(SHOWN)]) == set(SHOWN)
    assert set(np.flatnonzero(lost > 0)) == set(SHOWN)
    assert [frame.chosen for frame in found.frames][2] == pytest.approx(1, abs=1e-4)
    assert [frame.time for frame in found.frames] == pytest.approx(np.arange(FRAMES) / 25)


@pytest.mark.parametrize("post", [name for name in POST if name != "conv1d_authors"])
def test_a_drop_is_the_score_without_the_frame_for_every_head(post):
    recognizer = make_recognizer(post=post)
    video, labels = planted(recognizer)

    found = recognizer.explain(video, labels, maps="none")

    without = np.delete(video, 3, axis=0)
    if post == "transf_cls":  # it wants its eight frames: the neighbour's stands in
        without = np.insert(without, 3, video[2], axis=0)
    question = dataclasses.replace(labels)
    rest = recognizer.classify(without, question, top_k=None, frames=len(without))
    score = {each.label: each.score for each in rest}[found.label]
    assert found.frames[3].drop == pytest.approx(found.score - score, abs=1e-5)
    assert any("stand-in" in note for note in found.notes) == (post != "meanp")


def test_joint_frames_have_a_drop_and_no_similarity():
    recognizer = make_recognizer(pre="joint")
    video, labels = planted(recognizer)

    found = recognizer.explain(video, labels)

    assert {frame.chosen for frame in found.frames} == {None}
    without = np.delete(video, 3, axis=0)
    rest = recognizer.classify(without, labels, top_k=None, frames=7)
    score = {each.label: each.score for each in rest}[found.label]
    assert found.frames[3].drop == pytest.approx(found.score - score, abs=1e-5)
    assert found.maps.chosen.shape == (FRAMES, 4, 4)
    assert any("joint" in note for note in found.notes)


def corner(recognizer, vector_of):
    """A gray video with a pattern in the lower right quarter; a label that is the pattern."""
    size = recognizer.config.preprocess.size
    video = np.full((FRAMES, size, size, 3), 122, np.uint8)
    _, thing = pictures(recognizer)
    video[:, size // 2 :, size // 2 :] = thing[size // 2 :, size // 2 :]
    empty = np.full_like(video, 122)
    return video, question_about(*vector_of(recognizer, video, empty))


def towards_the_pattern(recognizer, video, empty):
    """The direction in which the pattern moves the embedding, and the way back."""
    way = unit((embedded(recognizer, video[0]) - embedded(recognizer, empty[0]))[None])[0]
    return way, -way


@pytest.mark.parametrize("kind", ["locations", "gradient", "occlusion"])
def test_the_place_that_shows_the_thing_is_found_in_a_tower_of_convolutions(kind):
    recognizer = make_recognizer("trunk")
    video, labels = corner(recognizer, towards_the_pattern)

    found = recognizer.explain(video, labels, label="a", maps=kind)

    assert found.maps.kind == kind
    for each in found.maps.margin:
        row, column = np.unravel_index(each.argmax(), each.shape)
        assert row >= each.shape[0] // 2, each
        assert column >= each.shape[1] // 2, each


@pytest.mark.parametrize("patch", [15, 11])
def test_the_patch_that_shows_the_thing_is_found_in_a_vit(patch):
    recognizer = make_recognizer("vit")

    def patch_tokens(recognizer, video, empty):
        """What the tower has for the last patch of the pattern, and for one that is gray."""
        visual = recognizer.model.backbone.visual
        seen = []
        hook = visual.transformer.register_forward_hook(lambda *a: seen.append(a[-1]))
        with recognizer.model.backbone.all_tokens():
            embedded(recognizer, video[0])
        hook.remove()
        with torch.no_grad():
            vectors = unit(visual.ln_post(seen[0][0]) @ visual.proj)
        return vectors[1 + patch], vectors[1]

    video, labels = corner(recognizer, patch_tokens)
    found = recognizer.explain(video, labels, label="a")

    assert found.maps.kind == "patches"
    assert found.maps.chosen.shape == (FRAMES, 4, 4)
    assert (found.maps.margin.reshape(FRAMES, -1).argmax(axis=1) == patch).all()
    assert found.maps.chosen.reshape(FRAMES, -1)[:, patch] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("kind", ["locations", "gradient"])
def test_maps_of_the_last_feature_map_add_up_to_the_similarity(kind):
    recognizer = make_recognizer("trunk")
    video, labels = planted(recognizer)

    found = recognizer.explain(video, labels, maps=kind)

    frames = [frame.chosen for frame in found.frames]
    if kind == "locations":
        np.testing.assert_allclose(found.maps.chosen.mean(axis=(1, 2)), frames, atol=1e-5)
    video_similarity = float(recognizer.embed_video(video) @ labels.texts[0, 0])
    label = labels.labels.index(found.label)
    if kind == "gradient" and label == 0:
        assert found.maps.chosen.mean() == pytest.approx(video_similarity, abs=1e-5)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [
        *(("vit", kind) for kind in ("patches", "rollout", "occlusion")),
        *(("trunk", kind) for kind in ("locations", "gradient", "occlusion")),
        ("resnet", "occlusion"),
    ],
)
def test_other_weights_give_another_map(architecture, kind):
    """Adebayo et al. 2018: a map that looks the same for random weights explains the picture."""
    one, other = (make_recognizer(architecture, seed=seed) for seed in (0, 1))
    video = np.random.default_rng(3).integers(0, 256, (FRAMES, 80, 80, 3), np.uint8)
    texts = unit(torch.randn(2, one.model.backbone.embed_dim))
    labels = question_about(*texts)

    first, second = (
        recognizer.explain(video, labels, label="a", maps=kind).maps.chosen.ravel()
        for recognizer in (one, other)
    )

    assert abs(np.corrcoef(first, second)[0, 1]) < 0.7
    again = one.explain(video, labels, label="a", maps=kind).maps.chosen.ravel()
    np.testing.assert_allclose(again, first, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "kind"),
    [("vit", "patches"), ("vit", "rollout"), ("trunk", "locations"), ("trunk", "gradient")],
)
def test_a_map_is_of_its_own_video_whoever_else_uses_the_tower(architecture, kind, monkeypatch):
    recognizer = make_recognizer(architecture)
    video, labels = planted(recognizer)
    alone = recognizer.explain(video, labels, maps=kind)
    model, encode = recognizer.model, recognizer.model.encode_frames

    def somebody_else(frames):
        with torch.no_grad(), model.backbone.all_tokens():
            encode(torch.zeros_like(frames))

    def encode_and_be_followed(frames):
        vectors = encode(frames)
        other = threading.Thread(target=somebody_else, args=[frames])
        other.start()
        other.join()
        return vectors

    monkeypatch.setattr(model, "encode_frames", encode_and_be_followed)
    beside = recognizer.explain(video, labels, maps=kind)

    np.testing.assert_allclose(beside.maps.chosen, alone.maps.chosen, atol=1e-6)


def test_rollout_of_uniform_attention_is_uniform():
    recognizer = make_recognizer("vit")
    for block in recognizer.model.backbone.visual.transformer.resblocks:
        torch.nn.init.zeros_(block.attn.in_proj_weight)
    video, labels = planted(recognizer)

    found = recognizer.explain(video, labels, maps="rollout")

    # two blocks, 17 tokens, half of what leaves a block went past it
    expected = 1 - (0.5 + 0.5 / 17) ** 2 - 16 * (0.5 / 17) ** 2
    assert found.maps.chosen.sum(axis=(1, 2)) == pytest.approx(expected, abs=1e-5)
    assert np.ptp(found.maps.chosen) < 1e-6


def test_towers_say_which_maps_they_can_give():
    recognizer = make_recognizer("resnet")
    video, labels = planted(recognizer)

    assert recognizer.explain(video, labels).maps.kind == "occlusion"
    with pytest.raises(actionclip.ActionCLIPError, match="'patches'"):
        recognizer.explain(video, labels, maps="patches")
    with pytest.raises(actionclip.ActionCLIPError, match="Did you mean 'occlusion'"):
        recognizer.explain(video, labels, maps="oclusion")


def as_rows(found):
    return {each.sentence: each.share for each in found.sentences}


@pytest.mark.parametrize("ensemble", ["scores", "embeddings"])
def test_shares_of_templates_sum_to_one(recognizer, folder, ensemble):
    templates = ["{}", "a person {}", "a video of {}"]
    found = recognizer.explain(
        folder / "0.mp4", LABELS, templates=templates, ensemble=ensemble, maps="none"
    )

    assert sum(as_rows(found).values()) == pytest.approx(1)
    assert set(as_rows(found)) == {t.replace("{}", found.label) for t in templates}
    for each in found.sentences:
        template = each.sentence.replace(found.label, "{}")
        alone = recognizer.classify(folder / "0.mp4", LABELS, templates=[template])
        assert {s.label: s.score for s in alone}[found.label] == pytest.approx(each.score, abs=1e-5)
    if ensemble == "scores":
        mean = np.mean([each.score for each in found.sentences])
        assert mean == pytest.approx(found.score, abs=1e-5)
    assert any("would give alone" in note for note in found.notes) == (ensemble == "embeddings")


def test_shares_of_descriptions_sum_to_one(recognizer, folder):
    described = {
        "waving one hand": ["an arm goes to and fro above the head"],
        "jumping jacks": ["arms and legs spread and close", "someone jumps", "sport"],
        "running": ["fast steps"],
    }
    found = recognizer.explain(
        folder / "0.mp4", LABELS, descriptions=described, label="jumping jacks", maps="none"
    )

    assert set(as_rows(found)) == set(described["jumping jacks"])
    assert sum(as_rows(found).values()) == pytest.approx(1)
    assert any("descriptions" in note for note in found.notes)


def test_the_order_of_the_labels_does_not_matter(recognizer, folder):
    there = recognizer.explain(folder / "1.mp4", LABELS, maps="gradient")
    back = recognizer.explain(folder / "1.mp4", LABELS[::-1], maps="gradient")

    assert (there.label, there.runner_up) == (back.label, back.runner_up)
    for one, other in zip(there.frames, back.frames, strict=True):
        assert one.chosen == pytest.approx(other.chosen, abs=1e-5)
        assert one.drop == pytest.approx(other.drop, abs=1e-5)
    np.testing.assert_allclose(there.maps.chosen, back.maps.chosen, atol=1e-4)
    assert as_rows(there) == pytest.approx(as_rows(back))


def test_two_labels_may_be_compared_whatever_the_answer(recognizer, folder):
    found = recognizer.explain(
        folder / "0.mp4", LABELS, label="running", against="jumping jacks", maps="none"
    )
    turned = recognizer.explain(
        folder / "0.mp4", LABELS, label="jumping jacks", against="running", maps="none"
    )

    assert (found.label, found.runner_up) == ("running", "jumping jacks")
    assert [f.margin for f in found.frames] == pytest.approx([-f.margin for f in turned.frames])
    assert [f.margin_drop for f in found.frames] == pytest.approx(
        [-f.margin_drop for f in turned.frames], abs=1e-6
    )
    with pytest.raises(actionclip.ActionCLIPError, match="'runing'"):
        recognizer.explain(folder / "0.mp4", LABELS, label="runing")


def test_the_answer_is_that_of_classify(recognizer, folder):
    options = {"windows": 2, "crops": 3, "spacing": 0.2, "threshold": 1.0}
    found = recognizer.explain(folder / "2.mp4", LABELS, **options)
    answer = recognizer.classify(folder / "2.mp4", LABELS, top_k=None, **options)

    assert [s.label for s in found.answer] == [s.label for s in answer] == ["none of these"]
    assert found.answer[0].score == pytest.approx(answer[0].score, abs=1e-5)
    assert found.label in LABELS
    assert any("none of these" in note for note in found.notes)


def test_one_label_and_one_frame_have_nothing_to_compare(recognizer):
    picture = np.random.default_rng(0).integers(0, 256, (1, 80, 80, 3), np.uint8)

    with pytest.warns(UserWarning, match="One label alone"):
        question = recognizer.question(["running"])
    found = recognizer.explain(picture, question, frames=1, windows=1)

    assert found.runner_up is None
    assert [frame.drop for frame in found.frames] == [None]
    assert found.frames[0].margin == found.frames[0].chosen


def test_an_explanation_is_json_and_a_picture(recognizer, folder, tmp_path):
    found = recognizer.explain(
        folder / "0.mp4", LABELS, templates=["{}", "a person {}"], maps="gradient"
    )

    row = json.loads(json.dumps(found.to_dict()))
    assert list(row) == [
        *("label", "score", "runner_up", "runner_up_score", "frames", "sentences", "notes"),
    ]
    assert list(row["frames"][0]) == ["time", "chosen", "runner_up", "drop", "margin_drop"]
    many = json.loads(json.dumps(found.to_dict(maps=True)))["maps"]
    assert np.array(many["chosen"]).shape == found.maps.chosen.shape
    assert many["means"] == found.maps.means
    draw_explanation(found, tmp_path / "new" / "why.png")
    assert (tmp_path / "new" / "why.png").read_bytes().startswith(b"\x89PNG")


def test_the_frames_of_the_picture_are_spread_and_telling(recognizer, folder):
    found = recognizer.explain(folder / "0.mp4", LABELS, maps="none")
    shown = frames_to_show(found)

    assert len(shown) == 8
    assert (np.diff(shown) > 0).all()
    assert int(np.argmax([f.margin_drop for f in found.frames])) in shown


def test_a_bad_file_is_an_error_with_a_code(recognizer, tmp_path):
    (tmp_path / "bad.mp4").write_bytes(b"this is no video")

    with pytest.raises(actionclip.VideoError):
        recognizer.explain(tmp_path / "bad.mp4", LABELS)


def test_a_model_is_left_as_it_was(recognizer, folder):
    before = recognizer.classify(folder / "0.mp4", LABELS)
    for kind in ("locations", "gradient", "occlusion"):
        recognizer.explain(folder / "0.mp4", LABELS, maps=kind)

    hooks = [m for m in recognizer.model.modules() if m._forward_pre_hooks or m._forward_hooks]
    assert hooks == []
    assert recognizer.classify(folder / "0.mp4", LABELS) == before
    assert explain_clip.__doc__


def test_a_part_outside_the_stretch_that_is_meant_is_refused(tmp_path):
    recognizer = make_recognizer()
    film = write_video(tmp_path / "film.mp4", frames=36)
    (tmp_path / "films.csv").write_text("path,start,end\nfilm.mp4,1,2\n")
    [stretch] = actionclip.find_videos([tmp_path / "films.csv"])

    inside = recognizer.explain(stretch, LABELS, between=(1.2, 1.8), maps="none")

    assert stretch.path == film
    assert all(1.1 <= frame.time < 1.8 for frame in inside.frames)
    for outside in ((0.2, 0.8), (1.5, 2.5)):
        with pytest.raises(ActionCLIPError, match="is not in film"):
            recognizer.explain(stretch, LABELS, between=outside, maps="none")
