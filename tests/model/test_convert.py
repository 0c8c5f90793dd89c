"""Importers: synthetic checkpoints in the real formats, and the authors' recorded numbers."""

import json
import re

import numpy as np
import open_clip
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from actionclip.errors import ActionCLIPError
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.convert import convert
from actionclip.model.convert.towers import infer_architecture, known_name
from actionclip.model.prompts.text import AUTHORS_TEMPLATES
from actionclip.model.weights.folder import load_folder
from architectures import ARCHITECTURES
from reference_weights import CONFIGS, image_input, reference_weights

HALF = ("conv1.weight", "proj", "text_projection", "attn.in_proj_weight", "attn.in_proj_bias")


def block_shapes(prefix, width):
    return {
        f"{prefix}attn.in_proj_weight": (3 * width, width),
        f"{prefix}attn.in_proj_bias": (3 * width,),
        f"{prefix}attn.out_proj.weight": (width, width),
        f"{prefix}attn.out_proj.bias": (width,),
        f"{prefix}ln_1.weight": (width,),
        f"{prefix}ln_1.bias": (width,),
        f"{prefix}mlp.c_fc.weight": (4 * width, width),
        f"{prefix}mlp.c_fc.bias": (4 * width,),
        f"{prefix}mlp.c_proj.weight": (width, 4 * width),
        f"{prefix}mlp.c_proj.bias": (width,),
        f"{prefix}ln_2.weight": (width,),
        f"{prefix}ln_2.bias": (width,),
    }


def clip_shapes(size, frames=None, vocabulary=512):
    config = CONFIGS[size]
    vision, text, embed = config["vision_cfg"], config["text_cfg"], config["embed_dim"]
    width, patch, text_width = vision["width"], vision["patch_size"], text["width"]
    shapes = {
        "positional_embedding": (77, text_width),
        "text_projection": (text_width, embed),
        "logit_scale": (),
        "visual.class_embedding": (width,),
        "visual.positional_embedding": ((vision["image_size"] // patch) ** 2 + 1, width),
        "visual.proj": (width, embed),
        "visual.conv1.weight": (width, 3, patch, patch),
        "visual.ln_pre.weight": (width,),
        "visual.ln_pre.bias": (width,),
        "visual.ln_post.weight": (width,),
        "visual.ln_post.bias": (width,),
        "token_embedding.weight": (vocabulary, text_width),
        "ln_final.weight": (text_width,),
        "ln_final.bias": (text_width,),
    }
    if frames:
        shapes["visual.time_embedding"] = (frames, width)
    for layer in range(vision["layers"]):
        shapes |= block_shapes(f"visual.transformer.resblocks.{layer}.", width)
    for layer in range(text["layers"]):
        shapes |= block_shapes(f"transformer.resblocks.{layer}.", text_width)
    return shapes


def head_shapes(head, width=64, frames=4):
    positions = {"frame_position_embeddings.weight": (77, width)}
    if head == "meanP":
        return {}
    if head == "Conv_1D":
        return positions | {"shift.weight": (width, 1, 3)}
    if head == "LSTM":
        gates = {f"lstm_visual.weight_{kind}_l0": (4 * width, width) for kind in ("ih", "hh")}
        biases = {f"lstm_visual.bias_{kind}_l0": (4 * width,) for kind in ("ih", "hh")}
        return positions | gates | biases
    if head == "Transf":
        blocks = {}
        for layer in range(6):
            blocks |= block_shapes(f"transformer.resblocks.{layer}.", width)
        return positions | blocks
    encoder = torch.nn.TransformerEncoder(
        torch.nn.TransformerEncoderLayer(width, nhead=8),
        num_layers=6,
        norm=torch.nn.LayerNorm(width),
        enable_nested_tensor=False,
    )
    shapes = {f"transformer.transformer_enc.{k}": v.shape for k, v in encoder.state_dict().items()}
    tables = {
        "transformer.cls_token": (1, 1, width),
        "transformer.pos_embed": (1, frames + 1, width),
    }
    return positions | tables | shapes


def authors_checkpoint(
    size="s1", head="meanP", *, shift=False, joint=None, half=False, vocabulary=512
):
    """What the authors' training script saves."""
    model = reference_weights(clip_shapes(size, joint, vocabulary), "model")
    if shift:
        model = {
            re.sub(r"^(visual\.transformer\.resblocks\.\d+)\.", r"\1.net.", key): value
            for key, value in model.items()
        }
    if half:
        model = {k: v.half() if k.endswith(HALF) else v for k, v in model.items()}
    fusion = reference_weights(head_shapes(head, CONFIGS[size]["embed_dim"]), "fusion")
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.ones(3))], lr=5e-6)
    return {
        "epoch": 49,
        "model_state_dict": model,
        "fusion_model_state_dict": {f"module.{key}": value for key, value in fusion.items()},
        "optimizer_state_dict": optimizer.state_dict(),
    }


@pytest.fixture
def converted(tmp_path):
    """Saves a checkpoint, converts it, and loads the folder."""

    def make(checkpoint, **options):
        file = tmp_path / "model_best.pt"
        torch.save(checkpoint, file)
        result = convert(file, tmp_path / "folder", **options)
        return result, load_folder(tmp_path / "folder")

    return make


def frames_of(recorded):
    videos, frames = int(recorded["B"]), int(recorded["T"])
    images = image_input(int(recorded["image_seed"]), videos * frames, 32)
    return images.unflatten(0, (videos, frames))


def close(ours, recorded):
    recorded = torch.as_tensor(np.asarray(recorded))
    torch.testing.assert_close(ours.detach(), recorded, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("case", "checkpoint", "prompts"),
    [
        ("s1_meanP", {}, ("none", "none", "meanp")),
        ("s1_conv1d", {"head": "Conv_1D"}, ("none", "none", "conv1d_authors")),
        ("s1_lstm", {"head": "LSTM"}, ("none", "none", "lstm")),
        ("s1_transf", {"head": "Transf"}, ("none", "none", "transf")),
        ("s1_transf_cls", {"head": "Transf_cls"}, ("none", "none", "transf_cls")),
        ("s1_shift_meanP", {"shift": True}, ("none", "shift", "meanp")),
        ("s1_joint_meanP", {"joint": 4}, ("joint", "none", "meanp")),
        ("s1_transf", {"head": "Transf", "half": True}, ("none", "none", "transf")),
    ],
)
def test_the_authors_checkpoints_give_the_authors_numbers(
    case, checkpoint, prompts, golden, converted
):
    recorded = golden(case)

    result, model = converted(authors_checkpoint(**checkpoint), frames=4)

    config = result.config
    assert (config.prompts.pre, config.prompts.inner, config.prompts.post) == prompts
    with torch.no_grad():
        close(model.encode_video(frames_of(recorded), normalize=False), recorded["video_embedding"])


def test_text_embeddings_after_conversion_agree_too(golden, converted):
    recorded = golden("s1_meanP")
    table = torch.tensor(golden("prompt_tokens")["classes_tokens"], dtype=torch.int64)
    rows = [t * 7 + c for t, c in zip([0, 4, 15, 7], [0, 2, 0, 5], strict=True)]

    _, model = converted(authors_checkpoint(vocabulary=49408))

    with torch.no_grad():
        close(model.encode_text(table[rows], normalize=False), recorded["text_embedding"])


def test_the_authors_manner_is_taken_over(converted):
    result, _ = converted(authors_checkpoint(head="LSTM"), labels=["run", "jump"])

    config = result.config
    assert config.scale == 100
    assert config.templates == AUTHORS_TEMPLATES
    assert config.ensemble == "scores"
    assert not config.clean_labels
    assert config.labels == ("run", "jump")
    assert config.preprocess.resize.size == 32 * 256 // 224
    assert config.preprocess.resize.interpolation == "bicubic"
    assert config.backbone.architecture["quick_gelu"]
    assert any("frame_position_embeddings" in name for name in result.ignored)
    assert "optimizer_state_dict" in result.ignored
    assert "8 were assumed" in " ".join(result.notes)


def test_heads_of_transf_follow_the_text_width(converted):
    result, model = converted(authors_checkpoint("s2", "Transf"))

    assert result.config.prompts.heads == 2
    assert model.post.transformer.resblocks[0].attn.num_heads == 2
    assert result.config.prompts.positions == 77


@pytest.mark.parametrize("options", [{"joint": 4}, {"head": "Transf_cls"}])
def test_a_checkpoint_that_tells_its_frames_is_believed(options, converted):
    result, _ = converted(authors_checkpoint(**options))

    assert result.config.sampling.frames == 4
    assert not result.notes


def test_transf_cls_takes_no_other_number_of_frames(converted):
    with pytest.raises(ActionCLIPError, match="trained with 4 frames and 8 were asked"):
        converted(authors_checkpoint(head="Transf_cls"), frames=8)


def test_half_precision_stays_half_in_the_file_and_exact(tmp_path):
    file = tmp_path / "a.pt"
    torch.save(authors_checkpoint(half=True), file)
    convert(file, tmp_path / "folder")

    with safe_open(tmp_path / "folder" / "model.safetensors", "pt") as opened:
        stored = opened.get_tensor("backbone.clip.visual.proj")

    assert stored.dtype == torch.float16
    model = load_folder(tmp_path / "folder")
    assert model.backbone.clip.visual.proj.dtype == torch.float32
    assert torch.equal(model.backbone.clip.visual.proj, stored.float())


def test_a_checkpoint_is_written_in_half_precision_on_request(tmp_path):
    file = tmp_path / "a.pt"
    torch.save(authors_checkpoint(), file)
    convert(file, tmp_path / "whole")
    convert(file, tmp_path / "half", half=True)

    whole, half = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "half"))

    for name, value in whole.items():
        assert torch.equal(half[name], value.half() if value.ndim else value), name
    assert "half precision" in (tmp_path / "half" / "README.md").read_text()


def mmaction2_checkpoint(frames=4):
    towers = reference_weights(clip_shapes("s1"), "model")
    head = head_shapes("Transf") | {"frame_position_embeddings.weight": (frames, 64)}
    adapter = reference_weights(head, "adapter")
    names = {f"clip.{k}": v for k, v in towers.items()}
    return {
        "meta": {"epoch": 3},
        "state_dict": names | {f"adapter.{k}": v for k, v in adapter.items()},
    }


def test_mmaction2_checkpoints(golden, converted):
    result, model = converted(mmaction2_checkpoint())

    config = result.config
    assert result.writer == "mmaction2"
    assert (config.prompts.post, config.prompts.positions, config.prompts.norm_eps) == (
        "transf",
        4,
        1e-5,
    )
    assert config.sampling.frames == 4
    assert config.preprocess.resize.interpolation == "bilinear"
    assert config.scale == 100
    recorded = golden("mmaction2_adapter")
    inputs = torch.tensor(np.random.default_rng(77).standard_normal((3, 4, 64)).astype(np.float32))
    with torch.no_grad():
        close(model.fuse(inputs, normalize=False), recorded["adapter/T4"])


@pytest.mark.parametrize(
    "mark",
    [
        {"meta": {"epoch": 3, "mmengine_version": "0.10.4"}},
        {"message_hub": {}},
        {"data_preprocessor.mean": torch.ones(3)},
    ],
)
def test_mmaction2_checkpoints_without_an_adapter_are_told_by_their_marks(mark, converted):
    theirs = mmaction2_checkpoint()["state_dict"]
    state = {name: value for name, value in theirs.items() if name.startswith("clip.")}
    inside = {name: value for name, value in mark.items() if "." in name}
    outside = {name: value for name, value in mark.items() if "." not in name}

    result, _ = converted({"state_dict": state | inside, **outside}, frames=4)

    assert result.writer == "mmaction2"
    assert result.config.prompts.post == "meanp"
    assert result.config.scale == 100
    assert set(mark) == set(result.ignored)


@pytest.mark.parametrize("meta", [{"epoch": 3, "version": "1"}, "my run", None])
def test_a_meta_of_anybody_beside_a_clip_is_not_mmaction2s(meta, converted):
    state = reference_weights(clip_shapes("s1"), "model")
    state = {f"clip.{name}": value for name, value in state.items()}

    result, _ = converted({"state_dict": state, "meta": meta}, frames=4)

    assert (result.writer, result.ignored) == ("clip", ("meta",))
    assert result.config.scale is None


def test_a_clip_inside_another_module_may_be_named(tmp_path, monkeypatch):
    small = dict(CONFIGS["s1"], quick_gelu=False)
    small["text_cfg"] = small["text_cfg"] | {"vocab_size": 512}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-32", small)
    state = reference_weights(clip_shapes("s1"), "model")
    torch.save({f"clip.{name}": value for name, value in state.items()}, tmp_path / "a.pt")
    name = "ViT-B-32/laion2b_s34b_b79k"

    result = convert(tmp_path / "a.pt", tmp_path / "folder", name=name)

    assert result.config.backbone.name == name
    assert not result.config.backbone.architecture["quick_gelu"]


def test_what_lies_beside_a_clip_inside_another_module_is_named(converted):
    state = reference_weights(clip_shapes("s1"), "model")
    state = {f"model.clip.{name}": value for name, value in state.items()}

    with pytest.raises(ActionCLIPError, match=r"tensors nobody knows: head\.bias, head\.weight"):
        converted(state | {"model.head.weight": torch.ones(2), "model.head.bias": torch.ones(2)})


WRAPS = ("", "state_dict", "model_state_dict", "model")
FRONTS = ("module.", "_orig_mod.", "module.model.", "clip.", "model.clip.", "clip.module.")


@pytest.mark.parametrize("wrap", [*WRAPS, *FRONTS, "safetensors"])
def test_plain_state_dicts(wrap, golden, tmp_path):
    state = reference_weights(clip_shapes("s1"), "model")
    file = tmp_path / ("a.safetensors" if wrap == "safetensors" else "a.pt")
    if wrap == "safetensors":
        save_file(state, file)
    elif wrap and wrap in WRAPS:
        beside = {"optimizer": {"x": torch.ones(3)}, "ema_state_dict": state}
        torch.save({"epoch": 3, wrap: state, **beside}, file)
    else:
        torch.save({wrap + name: value for name, value in state.items()}, file)

    result = convert(file, tmp_path / "folder", frames=4)

    assert result.writer == "clip"
    assert result.config.scale is None
    assert result.config.preprocess.resize.size == 32
    assert "QuickGELU" in " ".join(result.notes)  # weights exact in half, as OpenAI's are
    recorded = golden("s1_meanP")
    with torch.no_grad():
        frames = load_folder(tmp_path / "folder").encode_frames(frames_of(recorded))
    close(frames, recorded["frame_features"])


def test_a_checkpoint_of_lightning_is_its_model(tmp_path):
    """Optimisers, and the best score that a callback keeps, lie beside the weights."""
    state = reference_weights(clip_shapes("s1"), "model")
    whole = {
        "epoch": 1,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.clip.{name}": value for name, value in state.items()},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": []}],
        "lr_schedulers": [{"last_lr": [0.1]}],
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
    }
    torch.save(whole, tmp_path / "a.ckpt")

    result = convert(tmp_path / "a.ckpt", tmp_path / "folder", frames=4)

    assert result.writer == "clip"
    assert {"optimizer_states", "callbacks"} <= set(result.ignored)


def test_weights_of_another_training_are_not_taken_for_openais(tmp_path):
    state = reference_weights(clip_shapes("s1"), "model")
    state["visual.proj"] = state["visual.proj"] + 1e-5
    torch.save(state, tmp_path / "a.pt")

    assert not convert(tmp_path / "a.pt", tmp_path / "f").config.backbone.architecture["quick_gelu"]
    asked = convert(tmp_path / "a.pt", tmp_path / "f", quick_gelu=True)
    assert asked.config.backbone.architecture["quick_gelu"]
    assert not asked.notes[1:]


@pytest.mark.parametrize("odd", [torch.zeros(0, 64), torch.tensor(1.0)])
def test_tables_of_no_rows_and_single_numbers_are_refused(odd, converted):
    theirs = mmaction2_checkpoint()
    positions = "adapter.frame_position_embeddings.weight"
    for checkpoint in (
        {"state_dict": {**theirs["state_dict"], positions: odd}},
        change(authors_checkpoint(head="Transf"), "model_state_dict", ln_final__weight=odd),
        change(
            authors_checkpoint(head="Transf"),
            "fusion_model_state_dict",
            module__frame_position_embeddings__weight=odd,
        ),
    ):
        with pytest.raises(ActionCLIPError):
            converted(checkpoint)


def test_weights_of_eight_bits_are_converted(tmp_path):
    state = reference_weights(clip_shapes("s1"), "model")
    eight_bits = state["visual.proj"].to(torch.float8_e4m3fn)
    state["visual.proj"] = eight_bits
    torch.save(state, tmp_path / "a.pt")

    convert(tmp_path / "a.pt", tmp_path / "folder")
    model = load_folder(tmp_path / "folder")

    torch.testing.assert_close(model.backbone.clip.visual.proj, eight_bits.float())


def test_more_words_than_clip_knows_are_refused_where_no_name_tells_which(tmp_path):
    state = reference_weights(clip_shapes("s1"), "model")
    state["token_embedding.weight"] = torch.zeros(49409, 64)
    torch.save(state, tmp_path / "worldwide.pt")

    with pytest.raises(ActionCLIPError, match=r"a vocabulary of 49,409 tokens.*name="):
        convert(tmp_path / "worldwide.pt", tmp_path / "folder")


@pytest.mark.parametrize("frames", [0, -1, 5000])
def test_frames_that_no_model_takes_are_refused(converted, frames):
    with pytest.raises(ActionCLIPError, match=f"{frames} frames were asked for"):
        converted(authors_checkpoint(), frames=frames)


def test_one_text_is_no_list_of_labels(converted):
    with pytest.raises(ActionCLIPError, match="The labels are the text 'run,walk'"):
        converted(authors_checkpoint(), labels="run,walk")


def test_a_tokenizer_that_is_not_clips_comes_into_the_folder(tmp_path, monkeypatch):
    cache = tmp_path / "hub/models--timm--ViT-B-16-SigLIP"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    small = dict(ARCHITECTURES["vit"])
    small["text_cfg"] = {**small["text_cfg"], "hf_tokenizer_name": "timm/ViT-B-16-SigLIP"}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16-SigLIP", small)
    towers = OpenClipBackbone.from_architecture(small, tokenizer_dir=tmp_path)
    save_file(towers.clip.state_dict(), tmp_path / "a.safetensors")
    name = "ViT-B-16-SigLIP/webli"

    without = convert(tmp_path / "a.safetensors", tmp_path / "without", name=name)
    (cache / "refs").mkdir(parents=True)
    (cache / "refs/main").write_text("0" * 40)
    files = cache / "snapshots" / ("0" * 40)
    files.mkdir(parents=True)
    for file in ("tokenizer.json", "tokenizer_config.json", "spiece.model", "README.md"):
        (files / file).write_text("{}")
    whole = convert(tmp_path / "a.safetensors", tmp_path / "whole", name=name)

    assert "timm/ViT-B-16-SigLIP" in without.notes[-1]
    assert load_folder(tmp_path / "without").backbone.tokenizer == "timm/ViT-B-16-SigLIP"
    assert {path.name for path in (tmp_path / "whole/tokenizer").iterdir()} == {
        *("tokenizer.json", "tokenizer_config.json", "spiece.model")
    }
    assert not whole.notes[len(without.notes) - 1 :]
    loaded = load_folder(tmp_path / "whole").backbone
    assert loaded.tokenizer_dir == str(tmp_path / "whole/tokenizer")


def test_a_name_is_not_for_files_that_say_what_they_are(converted):
    with pytest.raises(ActionCLIPError, match="is of authors, and 'ViT-B-16/openai'"):
        converted(authors_checkpoint(), name="ViT-B-16/openai")


def test_a_name_says_what_shapes_cannot(tmp_path, monkeypatch):
    small = dict(CONFIGS["s1"])
    del small["quick_gelu"]
    small["text_cfg"] = small["text_cfg"] | {"vocab_size": 512}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16", small)
    torch.save(reference_weights(clip_shapes("s1"), "model"), tmp_path / "a.pt")

    result = convert(tmp_path / "a.pt", tmp_path / "folder", name="ViT-B-16/dfn2b", frames=3)

    config = load_folder(tmp_path / "folder").config
    assert config == result.config
    assert config.backbone.name == "ViT-B-16/dfn2b"
    assert config.backbone.architecture["quick_gelu"]
    assert config.backbone.licence.startswith("Apple")
    assert config.sampling.frames == 3
    assert not result.notes


def test_numbers_of_openais_archives_are_ignored_by_name(tmp_path):
    state = reference_weights(clip_shapes("s1"), "model")
    state |= {"input_resolution": torch.tensor(32), "context_length": torch.tensor(77)}
    state |= {"vocab_size": torch.tensor(49408)}
    torch.save(state, tmp_path / "a.pt")

    result = convert(tmp_path / "a.pt", tmp_path / "folder")

    assert {"input_resolution", "context_length", "vocab_size"} <= set(result.ignored)
    assert result.config.backbone.architecture["quick_gelu"]


@pytest.mark.parametrize(
    ("key", "name"),
    [("ViT-B/32", "ViT-B-32"), ("ViT-B/16", "ViT-B-16"), ("ViT-B/32 joint T=8", "ViT-B-32")],
)
def test_the_published_sizes_are_recognised(key, name, golden, tmp_path):
    shapes = golden("state_dict_shapes.json")[key]
    state = {k: torch.empty(shape, device="meta") for k, shape in shapes.items()}

    found, config = known_name(infer_architecture(state, tmp_path / "x.pt"))

    assert found == name
    assert config["vision_cfg"]["layers"] == 12


def test_heads_that_are_wider_than_64_are_known_by_their_sizes(tmp_path):
    from actionclip.model.backbone import OpenClipBackbone
    from actionclip.model.zoo.architecture import named_architecture

    with torch.device("meta"):
        state = OpenClipBackbone.from_architecture(named_architecture("ViT-H-14")).clip.state_dict()

    found, config = known_name(infer_architecture(state, tmp_path / "x.pt"))

    assert found == "ViT-H-14"
    assert config["vision_cfg"]["head_width"] == 80


def change(checkpoint, table, **changes):
    state = dict(checkpoint[table])
    for key, value in changes.items():
        key = key.replace("__", ".")
        if value is None:
            del state[key]
        else:
            state[key] = value
    return checkpoint | {table: state}


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"visual__extra": torch.ones(2)}, r"left over: backbone\.clip\.visual\.extra"),
        ({"visual__ln_pre__bias": None}, r"missing: backbone\.clip\.visual\.ln_pre\.bias"),
        ({"visual__ln_pre__bias": torch.ones(3)}, r"ln_pre\.bias is \[3\] and must be \[64\]"),
        ({"visual__proj": None}, r"no CLIP with a vision transformer: visual\.proj"),
        ({"visual__ln_pre__bias": torch.full((64,), torch.nan)}, "NaN or infinite numbers in"),
        ({"visual__positional_embedding": torch.ones(18, 64)}, "has 18 rows"),
        ({"visual__ln_pre__bias": torch.ones(64, dtype=torch.int64)}, "int64 and must be"),
        ({"visual__layer1__0__conv1__weight": torch.ones(2)}, "ResNet"),
    ],
)
def test_every_tensor_is_accounted_for(broken, reason, converted, tmp_path):
    with pytest.raises(ActionCLIPError, match=reason):
        converted(change(authors_checkpoint(), "model_state_dict", **broken))

    assert not (tmp_path / "folder").exists()


def test_leftovers_of_the_head_and_beside_it_are_refused(converted):
    checkpoint = authors_checkpoint(head="Transf")
    odd = {"module__transformer__resblocks__6__ln_1__bias": torch.ones(64)}
    with pytest.raises(ActionCLIPError, match=r"left over: post\.transformer\.resblocks\.6"):
        converted(change(checkpoint, "fusion_model_state_dict", **odd))
    with pytest.raises(ActionCLIPError, match=r"tensors nobody knows: extra\.deep\.0"):
        converted(checkpoint | {"extra": {"deep": [torch.ones(2)]}})
    with pytest.raises(ActionCLIPError, match="a head nobody knows: new"):
        converted(
            change(authors_checkpoint(), "fusion_model_state_dict", module__new=torch.ones(2))
        )


def test_the_folder_says_what_was_done(converted, tmp_path):
    converted(authors_checkpoint(head="Transf"))

    card = (tmp_path / "folder" / "README.md").read_text()
    assert "model_best.pt" in card
    assert "`transf`" in card
    config = json.loads((tmp_path / "folder" / "config.json").read_text())
    assert config["format"] == 1
    assert len(config["templates"]) == 16


@pytest.mark.parametrize("name", [None, "ViT-B-32/openai"])
@pytest.mark.parametrize("around", ["", "model."])
def test_the_names_of_transformers_are_recognised(tmp_path, name, around):
    """As in pytorch_model.bin of openai/clip-vit-base-patch32."""
    names = ("vision_model.embeddings.class_embedding", "text_model.final_layer_norm.weight")
    torch.save({around + each: torch.zeros(8) for each in names}, tmp_path / "pytorch_model.bin")

    with pytest.raises(ActionCLIPError, match="the package transformers gives") as refused:
        convert(tmp_path / "pytorch_model.bin", tmp_path / "out", name=name)

    assert "ViT-B-32/openai" in refused.value.hint
