import copy
import itertools

import open_clip
import pytest
import torch

from actionclip.errors import ActionCLIPError
from actionclip.model.backbone import Backbone, OpenClipBackbone
from actionclip.model.zoo.architecture import without_drawing
from architectures import ARCHITECTURES

GRIDS = {"vit": (4, 4), "coca": (4, 4), "pe": (24, 24), "siglip": (14, 14)}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_kind_of_tower_says_what_it_is(name):
    architecture = ARCHITECTURES[name]

    backbone = OpenClipBackbone.from_architecture(architecture)

    assert isinstance(backbone, Backbone)
    assert backbone.embed_dim == architecture["embed_dim"]
    assert backbone.image_size == architecture["vision_cfg"]["image_size"]
    assert backbone.context_length == architecture["text_cfg"].get("context_length", 77)
    assert backbone.text_width == 64
    assert backbone.grid == GRIDS.get(name)
    assert backbone.dtype == torch.float32
    assert backbone.device == torch.device("cpu")
    assert backbone.logit_scale is backbone.clip.logit_scale
    assert (backbone.logit_bias is not None) == (name == "siglip")


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_kind_of_tower_turns_frames_into_vectors(name):
    backbone = OpenClipBackbone.from_architecture(ARCHITECTURES[name]).eval()
    frames = torch.randn(2, 3, 3, backbone.image_size, backbone.image_size)

    with torch.no_grad():
        vectors = backbone.encode_frames(frames)
        one = backbone.clip.encode_image(frames[1, 2][None], normalize=False)

    assert vectors.shape == (2, 3, backbone.embed_dim)
    torch.testing.assert_close(vectors[1, 2], one[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "together"), [("resnet", True), ("vit", False)])
def test_pictures_come_to_a_tower_in_the_layout_that_is_quicker(name, together):
    """Colours of a pixel together for many convolutions; for one that cuts patches as they were."""
    backbone = OpenClipBackbone.from_architecture(ARCHITECTURES[name]).eval()
    layouts = []
    first = next(part for part in backbone.visual.modules() if isinstance(part, torch.nn.Conv2d))
    first.register_forward_pre_hook(
        lambda _, inputs: layouts.append(inputs[0].is_contiguous(memory_format=torch.channels_last))
    )

    backbone.encode_frames(torch.randn(1, 2, 3, backbone.image_size, backbone.image_size))

    assert layouts == [together]


def test_vectors_are_raw():
    backbone = OpenClipBackbone.from_architecture(ARCHITECTURES["vit"]).eval()
    lengths = backbone.encode_frames(torch.randn(1, 4, 3, 32, 32)).norm(dim=-1)

    assert (lengths - 1).abs().min() > 0.01
    assert (backbone.encode_text(backbone.tokenize(["run"])).norm() - 1).abs() > 0.01


def test_parameters_keep_openais_names(golden):
    theirs = golden("state_dict_shapes.json")["ViT-B/32"]

    with torch.device("meta"):
        backbone = OpenClipBackbone.from_architecture(open_clip.get_model_config("ViT-B-32"))

    shapes = {name: list(value.shape) for name, value in backbone.state_dict().items()}
    assert shapes == {f"clip.{name}": shape for name, shape in theirs.items()}


@pytest.mark.parametrize("quick_gelu", [True, False])
def test_the_activation_is_the_one_asked_for(quick_gelu):
    architecture = {**ARCHITECTURES["vit"], "quick_gelu": not quick_gelu}

    backbone = OpenClipBackbone.from_architecture(architecture, quick_gelu=quick_gelu)

    activation = "QuickGELU" if quick_gelu else "GELU"
    for tower in (backbone.clip.visual.transformer, backbone.clip.transformer):
        assert type(tower.resblocks[0].mlp.gelu).__name__ == activation


def test_building_leaves_the_architecture_as_it_was():
    for architecture in ARCHITECTURES.values():
        before = copy.deepcopy(architecture)
        OpenClipBackbone.from_architecture(architecture, quick_gelu=True)
        assert architecture == before


def test_weights_named_in_an_architecture_are_never_fetched(monkeypatch):
    architecture = copy.deepcopy(ARCHITECTURES["siglip"])
    architecture["vision_cfg"]["timm_model_pretrained"] = True
    asked = []
    create_model = open_clip.timm_model.timm.create_model
    monkeypatch.setattr(
        "timm.create_model",
        lambda *args, **kwargs: asked.append(kwargs["pretrained"]) or create_model(*args, **kwargs),
    )

    OpenClipBackbone.from_architecture(architecture)

    assert asked == [False]


def test_no_number_of_new_towers_is_what_the_memory_held(monkeypatch):
    """open_clip makes a table of CoCa's decoder and sets it nowhere: a NaN there is never saved."""
    empty = torch.empty
    monkeypatch.setattr(
        torch, "empty", lambda *size, **options: empty(*size, **options).fill_(torch.nan)
    )

    towers = OpenClipBackbone.from_architecture(ARCHITECTURES["coca"])

    assert all(value.isfinite().all() for value in towers.state_dict().values())


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_without_random_numbers_all_else_is_as_usual(name):
    usual = OpenClipBackbone.from_architecture(ARCHITECTURES[name])
    with without_drawing():
        unset = OpenClipBackbone.from_architecture(ARCHITECTURES[name])

    unset.load_state_dict(usual.state_dict())
    for (key, a), (_, b) in itertools.chain(
        zip(usual.named_parameters(), unset.named_parameters(), strict=True),
        zip(usual.named_buffers(), unset.named_buffers(), strict=True),  # positions, masks
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=0, msg=key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vision_cfg": {"with": 64}}, "TypeError: .*'with'"),
        ({"text_cfg": {"pool_type": "best"}}, "AssertionError"),
        ({"colour": "red"}, "colour"),
        ({"vision_cfg": {"timm_model_name": "vit_nowhere"}}, "vit_nowhere"),
    ],
)
def test_an_impossible_architecture_is_an_error_for_a_person(change, message):
    with pytest.raises(ActionCLIPError, match=message):
        OpenClipBackbone.from_architecture({**ARCHITECTURES["vit"], **change})


def test_a_part_that_is_missing_is_named():
    with pytest.raises(ActionCLIPError, match="KeyError: 'text_cfg'"):
        OpenClipBackbone.from_architecture({"embed_dim": 64, "vision_cfg": {}})


def test_an_input_that_is_not_square_is_refused():
    vision = {**ARCHITECTURES["vit"]["vision_cfg"], "image_size": [32, 64]}
    backbone = OpenClipBackbone.from_architecture({**ARCHITECTURES["vit"], "vision_cfg": vision})

    with pytest.raises(ActionCLIPError, match="32 x 64"):
        _ = backbone.image_size


def test_frames_are_cast_to_the_towers_type():
    backbone = OpenClipBackbone.from_architecture(ARCHITECTURES["vit"]).to(torch.bfloat16)

    assert backbone.dtype == torch.bfloat16
    assert backbone.encode_frames(torch.randn(1, 2, 3, 32, 32)).dtype == torch.bfloat16


BUILT_IN = [
    name
    for name in open_clip.list_models()
    if not open_clip.get_model_config(name)["text_cfg"].get("hf_model_name")  # needs the Hub
]


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_architecture_of_open_clip_can_be_built(name):
    architecture = open_clip.get_model_config(name)

    with torch.device("meta"):
        backbone = OpenClipBackbone.from_architecture(architecture)

    assert backbone.embed_dim == architecture["embed_dim"]
    assert backbone.context_length == architecture["text_cfg"].get("context_length", 77)
    assert backbone.image_size % 14 == 0 or backbone.image_size % 16 == 0
    assert backbone.dtype == torch.float32
