"""Agreement with the authors' code, in numbers recorded from it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.model.prompts.inner import shift
from actionclip.model.prompts.post import POST, HeadSize
from actionclip.video.settings import Sampling
from reference_weights import (
    CONFIGS,
    canonical,
    feature_input,
    image_input,
    load_reference,
    reference_weights,
)

CASES = {
    "s1_meanP": {},
    "s1_conv1d": {"post": "conv1d_authors"},
    "s1_conv1d_init": {"post": "conv1d_authors"},
    "s1_lstm": {"post": "lstm"},
    "s1_transf": {"post": "transf"},
    "s1_transf_cls": {"post": "transf_cls"},
    "s1_shift_meanP": {"inner": "shift"},
    "s1_joint_meanP": {"pre": "joint"},
}
HEADS = {
    "meanP": "meanp",
    "Conv_1D": "conv1d_authors",
    "LSTM": "lstm",
    "Transf": "transf",
    "Transf_cls": "transf_cls",
}
TEMPLATES = [0, 4, 15, 7]
LABELS = [0, 2, 0, 5]


def close(ours, recorded, tolerance=1e-5):
    recorded = torch.as_tensor(np.asarray(recorded))
    torch.testing.assert_close(ours.detach(), recorded, rtol=tolerance, atol=tolerance)


def build(architecture, frames, prompts):
    return ActionCLIP(
        OpenClipBackbone.from_architecture(architecture),
        ModelConfig(
            backbone=BackboneConfig(name="reference", architecture=architecture),
            prompts=PromptConfig(**prompts),
            sampling=Sampling(frames=frames),
        ),
    )


@pytest.fixture
def recorded_case(golden):
    """A recorded case, our model with its weights, its frames and its sentences."""

    def make(case):
        recorded = golden(case)
        videos, frames = int(recorded["B"]), int(recorded["T"])
        model = build(CONFIGS["s1"], frames, CASES[case])
        load_reference(model)
        if case == "s1_conv1d_init":
            kernel = golden("heads")["Conv_1D_init/shift_weight"]
            model.post.shift.weight.data = torch.tensor(kernel)
        images = image_input(int(recorded["image_seed"]), videos * frames, 32)
        table = torch.tensor(golden("prompt_tokens")["classes_tokens"], dtype=torch.int64)
        classes = len(table) // 16
        rows = [t * classes + c for t, c in zip(TEMPLATES, LABELS, strict=True)]
        return recorded, model, images.unflatten(0, (videos, frames)), table, table[rows]

    return make


@pytest.mark.parametrize("case", CASES)
def test_embeddings_and_scores_agree_with_the_authors_code(recorded_case, case):
    recorded, model, images, table, sentences = recorded_case(case)

    with torch.no_grad():
        frames = model.encode_frames(images)
        video = model.fuse(frames, normalize=False)
        text = model.encode_text(sentences, normalize=False)
        logits = model.logit_scale.exp() * model.encode_video(images) @ F.normalize(text).T
        cosines = model.encode_video(images) @ model.encode_text(table).T
        scores = (100 * cosines).unflatten(1, (16, -1)).softmax(-1).mean(1)

    joint = case == "s1_joint_meanP"
    close(frames.squeeze(1) if joint else frames, recorded["frame_features"])
    close(video, recorded["video_embedding"])
    close(text, recorded["text_embedding"])
    close(logits, recorded["logits_per_image"])
    close(logits.T, recorded["logits_per_text"])
    close(scores, recorded["validate_probs"], tolerance=2e-5)


@pytest.mark.parametrize("case", CASES)
def test_gradients_agree_with_the_authors_code(recorded_case, case):
    recorded, model, images, _, sentences = recorded_case(case)
    labels = torch.tensor(LABELS)
    target = F.softmax(10 * (labels[:, None] == labels).float(), dim=1)

    logits = model.logit_scale.exp() * model.encode_video(images) @ model.encode_text(sentences).T
    rows, columns = F.log_softmax(logits, 1), F.log_softmax(logits.T, 1)
    loss = sum(F.kl_div(side, target, reduction="batchmean") for side in (rows, columns)) / 2
    loss.backward()

    close(loss, recorded["loss_total"])
    theirs = dict(zip(recorded["grad_keys"].tolist(), recorded["grad_norms"], strict=True))
    ours = {"/".join(canonical(name)): p.grad for name, p in model.named_parameters()}
    for key, norm in theirs.items():
        if norm < 0:  # no gradient: the dead position tables, which we do not keep
            assert key == "fusion/frame_position_embeddings.weight"
            continue
        gradient = ours.pop(key.replace(".net.", "."))
        assert gradient.norm().item() == pytest.approx(norm, rel=1e-4, abs=1e-7), key
    assert not ours
    close(model.logit_scale.grad, recorded["grad_full/model/logit_scale"])
    class_embedding = model.backbone.clip.visual.class_embedding
    close(class_embedding.grad, recorded["grad_full/model/visual.class_embedding"])


@pytest.mark.parametrize("frames", [4, 7])
@pytest.mark.parametrize("theirs", HEADS)
def test_heads_agree_with_the_authors_code(golden, theirs, frames):
    recorded = golden("heads")
    head = POST[HEADS[theirs]](
        HeadSize(embed_dim=64, heads=1, rows=77 if theirs == "Transf" else frames)
    )
    head.load_state_dict(reference_weights(head, "fusion"))

    x = feature_input(77 if frames == 4 else 78, 3, frames, 64)

    close(head.eval()(x), recorded[f"{theirs}/T{frames}"])


def test_the_first_kernel_of_the_authors_convolution_is_theirs(golden):
    recorded = golden("heads")
    head = POST["conv1d_authors"](HeadSize(embed_dim=64))

    assert (head.shift.weight.detach().numpy() == recorded["Conv_1D_init/shift_weight"]).all()
    close(head(feature_input(77, 3, 4, 64)), recorded["Conv_1D_init/T4"])


@pytest.mark.parametrize("frames", [4, 7])
def test_transf_agrees_with_mmaction2s_adapter(golden, frames):
    recorded = golden("mmaction2_adapter")
    head = POST["transf"](HeadSize(embed_dim=64, heads=1, rows=frames, norm_eps=1e-5))
    shapes = dict(key.split(" ") for key in recorded[f"adapter/T{frames}/keys"].tolist())
    assert shapes == {k: "x".join(map(str, v.shape)) for k, v in head.state_dict().items()}
    head.load_state_dict(reference_weights(head, "adapter"))

    x = feature_input(77 if frames == 4 else 78, 3, frames, 64)

    close(head.eval()(x), recorded[f"adapter/T{frames}"])


def test_mmaction2s_towers_are_ours(golden, recorded_case):
    _, model, images, _, _ = recorded_case("s1_meanP")

    with torch.no_grad():
        frames = model.encode_frames(images).flatten(0, 1)

    close(frames, golden("mmaction2_adapter")["openai_clip_frames_s1"])


def test_shift_agrees_with_the_authors_code_on_a_ramp(golden):
    recorded = golden("shift_op")  # tokens first there
    x = torch.tensor(recorded["x"]).transpose(0, 1)

    shifted = shift(x, frames=3, prefix=1).transpose(0, 1)

    assert torch.equal(shifted, torch.tensor(recorded["y_div8"]))


@pytest.mark.parametrize(
    ("recorded", "patch", "prompts"),
    [
        ("ViT-B/32", 32, {}),
        ("ViT-B/16", 16, {}),
        ("ViT-B/32 shift", 32, {"inner": "shift"}),
        ("ViT-B/32 joint T=8", 32, {"pre": "joint"}),
    ],
)
def test_names_and_shapes_of_the_towers_are_the_authors(golden, recorded, patch, prompts):
    theirs = golden("state_dict_shapes.json")[recorded]
    architecture = {
        **CONFIGS["b32"],
        "vision_cfg": {**CONFIGS["b32"]["vision_cfg"], "patch_size": patch},
    }

    with torch.device("meta"):
        model = build(architecture, 8, prompts)

    ours = {canonical(name)[1]: list(value.shape) for name, value in model.state_dict().items()}
    assert ours == {key.replace(".net.", "."): shape for key, shape in theirs.items()}


@pytest.mark.parametrize("theirs", HEADS)
def test_names_and_shapes_of_the_heads_are_the_authors(golden, theirs):
    title = f"fusion {theirs} D=512 T=8 (checkpoint adds module. prefix)"
    shapes = golden("state_dict_shapes.json")[title]
    rows = 77 if theirs == "Transf" else 8

    with torch.device("meta"):
        head = POST[HEADS[theirs]](HeadSize(embed_dim=512, heads=8, rows=rows))

    if theirs != "Transf":
        shapes.pop("frame_position_embeddings.weight", None)  # never used there
    assert {key: list(value.shape) for key, value in head.state_dict().items()} == shapes
