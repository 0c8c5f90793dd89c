"""Models by name: the right activation and preprocessing, the cache, and life without a network."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import open_clip
import pytest
import torch
from huggingface_hub import constants
from huggingface_hub.errors import EntryNotFoundError
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from safetensors.torch import save_file
from small_model import ARCHITECTURE, small_model

from actionclip.errors import ActionCLIPError
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import PromptConfig
from actionclip.model.weights import hub
from actionclip.model.weights.folder import save
from actionclip.model.zoo import catalogue as catalogue_module
from actionclip.model.zoo.architecture import named_architecture, without_drawing
from actionclip.model.zoo.catalogue import catalogue, count_parameters, survey
from actionclip.model.zoo.pretrained import (
    DEFAULT,
    build,
    files_to_come,
    split_name,
    tag_config,
    wanted_files,
)
from actionclip.video.settings import Sampling

ALL_TAGS = open_clip.list_pretrained()
QUICK_GELU_FAMILIES = [
    (architecture, tag)
    for architecture, tag in ALL_TAGS
    if tag.startswith(("openai", "metaclip", "dfn")) and not architecture.endswith("-quickgelu")
]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the Hub, and a network that fails the test when it is asked."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def asked(*args, **kwargs):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", asked)
    monkeypatch.setattr("socket.getaddrinfo", asked)
    return tmp_path / "hub"


@pytest.fixture
def small_architecture(monkeypatch):
    """open_clip's ViT-B-16 made small, so that weights of the real format are small files."""
    small = json.loads(json.dumps(ARCHITECTURE))
    del small["quick_gelu"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "ViT-B-16", small)
    return small


def put(cache, repo, name, write):
    """Puts a file where the Hub's client keeps it."""
    folder = cache / f"models--{repo.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True, exist_ok=True)
    (folder / "refs" / "main").write_text("0" * 40)
    path = folder / "snapshots" / ("0" * 40) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path)
    return path


def weights_of(architecture, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return OpenClipBackbone.from_architecture(architecture).clip.state_dict()


def acts_like(towers):
    """The activation an image tower really has, as a word."""
    activation = towers.clip.visual.transformer.resblocks[0].mlp.gelu
    return type(activation).__name__


def test_the_families_are_there():
    assert len(QUICK_GELU_FAMILIES) > 25


@pytest.mark.parametrize(("architecture", "tag"), QUICK_GELU_FAMILIES)
def test_the_activation_is_the_tags(architecture, tag):
    """Of every tag of OpenAI, MetaCLIP and DFN; ViT-B-32/openai is the classic trap."""
    record = open_clip.get_pretrained_cfg(architecture, tag)
    config = tag_config(architecture, tag)

    quick = config.backbone.architecture["quick_gelu"]

    assert quick == bool(record.get("quick_gelu", False))
    if architecture.startswith("ViT"):
        with torch.device("meta"), without_drawing():
            towers = OpenClipBackbone.from_architecture(config.backbone.architecture)
        assert acts_like(towers) == ("QuickGELU" if quick else "GELU")


def test_a_record_that_is_silent_leaves_the_architectures_activation():
    assert "quick_gelu" not in open_clip.get_pretrained_cfg("roberta-ViT-B-32", "laion2b_s12b_b32k")
    towers = tag_config("roberta-ViT-B-32", "laion2b_s12b_b32k").backbone.architecture
    assert towers["quick_gelu"]
    assert not tag_config("ViT-B-16", "datacomp_xl_s13b_b90k").backbone.architecture["quick_gelu"]


@pytest.mark.parametrize(("architecture", "tag"), ALL_TAGS)
def test_preprocessing_and_scores_are_open_clips(architecture, tag):
    record = open_clip.get_pretrained_cfg(architecture, tag)
    theirs = merge_preprocess_dict(PreprocessCfg(), record)
    model = open_clip.get_model_config(architecture)

    config = tag_config(architecture, tag)

    ours = config.preprocess
    assert ours.size == ours.resize.size == model["vision_cfg"].get("image_size", 224)
    assert (ours.resize.mode, ours.resize.interpolation) == (
        theirs["resize_mode"],
        theirs["interpolation"],
    )
    assert (ours.mean, ours.std) == (tuple(theirs["mean"]), tuple(theirs["std"]))
    assert config.activation == ("sigmoid" if "init_logit_bias" in model else "softmax")
    assert config.scale is None


@pytest.mark.parametrize("form", ["safetensors", "bin", "in state_dict"])
def test_cached_weights_load_without_the_network(form, cache, small_architecture):
    weights = weights_of(small_architecture)
    safe = form == "safetensors"
    saved = {"state_dict": weights, "epoch": 1} if form == "in state_dict" else weights
    put(
        cache,
        "laion/CLIP-ViT-B-16-DataComp.XL-s13B-b90K",
        "open_clip_model.safetensors" if safe else "open_clip_pytorch_model.bin",
        lambda path: save_file(weights, path) if safe else torch.save(saved, path),
    )

    model = build(sampling=Sampling(frames=4))

    assert model.config.backbone.name == DEFAULT
    assert model.config.backbone.licence == "MIT"
    assert model.config.sampling.frames == 4
    assert torch.equal(model.backbone.clip.visual.proj, weights["visual.proj"])
    assert acts_like(model.backbone) == "GELU"
    assert not model.training
    assert model.encode_video(torch.randn(1, 4, 3, 16, 16)).shape == (1, 16)


def test_openais_weights_act_with_quick_gelu_and_agree_with_open_clip(cache, small_architecture):
    weights = weights_of(small_architecture)
    repo = "timm/vit_base_patch16_clip_224.openai"
    path = put(cache, repo, "open_clip_model.safetensors", lambda p: save_file(weights, p))
    theirs = open_clip.create_model("ViT-B-16", pretrained=str(path), force_quick_gelu=True).eval()
    images = torch.randn(3, 3, 16, 16)

    model = build("ViT-B-16/openai")

    with torch.no_grad():
        ours = model.encode_frames(images[None])[0]
        torch.testing.assert_close(ours, theirs.encode_image(images))
        assert (ours - weights_gelu(small_architecture, weights, images)).abs().max() > 1e-4


def weights_gelu(architecture, weights, images):
    towers = OpenClipBackbone.from_architecture(architecture)
    towers.clip.load_state_dict(weights)
    return towers.clip.eval().encode_image(images)


def test_prompts_can_be_put_around_pretrained_towers(cache, small_architecture):
    weights = weights_of(small_architecture)
    repo = "timm/vit_base_patch16_clip_224.openai"
    put(cache, repo, "open_clip_model.safetensors", lambda path: save_file(weights, path))

    model = build("ViT-B-16/openai", prompts=PromptConfig(post="transf"))

    assert model.config.prompts.post == "transf"
    assert model.post.transformer.resblocks[0].mlp.c_fc.weight.std() > 0.01  # drawn, not zeros


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda w: {k: v for k, v in w.items() if k != "visual.proj"}, "visual.proj"),
        (lambda w: w | {"visual.proj": w["visual.proj"] * torch.nan}, "NaN"),
        (lambda w: w | {"visual.proj": torch.ones(3, 3)}, "size mismatch"),
    ],
    ids=["missing", "NaN", "shape"],
)
def test_cached_weights_that_are_broken_are_refused(spoil, reason, cache, small_architecture):
    weights = spoil(weights_of(small_architecture))
    repo = "timm/vit_base_patch16_clip_224.openai"
    path = put(cache, repo, "open_clip_model.safetensors", lambda path: save_file(weights, path))

    with pytest.raises(ActionCLIPError, match=reason) as caught:
        build("ViT-B-16/openai")

    assert str(path) in str(caught.value)


def test_a_cut_off_download_is_refused(cache, small_architecture):
    repo = "timm/vit_base_patch16_clip_224.openai"
    put(cache, repo, "open_clip_model.safetensors", lambda path: path.write_bytes(b"\x08" * 99))

    with pytest.raises(ActionCLIPError, match="Delete it"):
        build("ViT-B-16/openai")


def test_an_actionclip_folder_on_the_hub(cache, tmp_path):
    model = small_model(post="lstm")
    folder = save(model, tmp_path / "model")
    for name in ("config.json", "model.safetensors", "labels.txt"):
        data = (folder / name).read_bytes()
        put(cache, "me/model", name, lambda path, data=data: path.write_bytes(data))

    loaded = build("hf-hub:me/model")

    assert loaded.config == model.config
    with pytest.raises(ActionCLIPError, match="its own visual prompts"):
        build("hf-hub:me/model", prompts=PromptConfig())


def test_a_tokenizer_on_the_hub_comes_whole(cache, tmp_path, monkeypatch):
    folder = save(small_model(), tmp_path / "model")
    (folder / "tokenizer").mkdir()
    for name in ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "config.json", "a.py"):
        (folder / "tokenizer" / name).write_text("{}")
    config = json.loads((folder / "config.json").read_text())
    config["backbone"]["tokenizer"] = "tokenizer"
    (folder / "config.json").write_text(json.dumps(config))
    listed = [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]

    def download(repo, name, **kwargs):
        if name not in listed:
            raise EntryNotFoundError(name)
        data = (folder / name).read_bytes()
        put(cache, repo, name, lambda path: path.write_bytes(data))

    monkeypatch.setattr(hub, "offline_reason", lambda: None)
    monkeypatch.setattr("huggingface_hub.list_repo_files", lambda repo: listed)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)

    model = build("hf-hub:me/model")

    assert {path.name for path in Path(model.backbone.tokenizer_dir).iterdir()} == {
        *("vocab.txt", "tokenizer.json", "tokenizer_config.json", "config.json")
    }


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [('{"do_lower_case": true}', True), ('{"tokenizer_class": "BertTokenizer"}', False)],
)
def test_a_tokenizer_of_no_class_wants_the_file_that_tells_it(cache, settings, wanted):
    name, repo = "ViT-L-14-CLIPA/datacomp1b", "bert-base-uncased"
    put(cache, repo, "tokenizer.json", lambda path: path.write_text("{}"))
    put(cache, repo, "tokenizer_config.json", lambda path: path.write_text(settings))

    files = [str(item) for item in files_to_come(name)]

    assert ("config.json of bert-base-uncased" in files) == wanted


def open_clip_repository(write):
    pixels = {"mean": [0.5] * 3, "std": [0.5] * 3, "resize_mode": "squash"}
    config = {"model_cfg": ARCHITECTURE, "preprocess_cfg": pixels}
    weights = weights_of(ARCHITECTURE)
    write("open_clip_config.json", lambda path: path.write_text(json.dumps(config)))
    write("open_clip_pytorch_model.bin", lambda path: torch.save(weights, path))
    return weights


def test_an_open_clip_repository_on_the_hub(cache):
    weights = open_clip_repository(lambda name, write: put(cache, "you/towers", name, write))

    model = build("hf-hub:you/towers")

    assert torch.equal(model.backbone.clip.visual.proj, weights["visual.proj"])
    assert model.config.preprocess.mean == (0.5, 0.5, 0.5)
    assert model.config.preprocess.resize.mode == "squash"
    assert acts_like(model.backbone) == "QuickGELU"


def test_a_folder_as_open_clips_repositories_are(cache, tmp_path):
    weights = open_clip_repository(lambda name, write: write(tmp_path / name))

    model = build(tmp_path)

    assert torch.equal(model.backbone.clip.visual.proj, weights["visual.proj"])
    config = json.loads((tmp_path / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_tokenizer_name"] = "evil/tokenizer"
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ActionCLIPError, match="evil/tokenizer"):
        build(tmp_path)


def transformers_files(write):
    """What transformers and timm keep in the same repositories as open_clip."""
    config = {"architectures": ["CLIPModel"], "model_type": "clip"}
    write("config.json", lambda path: path.write_text(json.dumps(config)))
    write("model.safetensors", lambda path: save_file({"a": torch.ones(2)}, path))


def test_a_downloaded_repository_may_hold_transformers_files_too(cache, tmp_path):
    weights = open_clip_repository(lambda name, write: write(tmp_path / name))
    transformers_files(lambda name, write: write(tmp_path / name))

    model = build(tmp_path)

    assert torch.equal(model.backbone.clip.visual.proj, weights["visual.proj"])
    assert not files_to_come(str(tmp_path))
    converted = small_model(post="lstm")
    save(converted, tmp_path)  # a model folder made of the repository, in its place
    assert build(tmp_path).config == converted.config


def test_a_cache_with_transformers_files_alone_lacks_open_clips(cache, monkeypatch):
    def to_cache(name, write):
        put(cache, "you/towers", name, write)

    def download(repo, name, **kwargs):
        if name not in ("open_clip_config.json", "open_clip_pytorch_model.bin", "config.json"):
            raise EntryNotFoundError(name)
        if name != "config.json":
            open_clip_repository(to_cache)

    transformers_files(to_cache)
    monkeypatch.setattr(hub, "offline_reason", lambda: "HF_HUB_OFFLINE is set")
    with pytest.raises(ActionCLIPError, match=r"HF_HUB_OFFLINE.*open_clip_config\.json"):
        build("hf-hub:you/towers")
    assert "open_clip_config.json" in str(files_to_come("hf-hub:you/towers")[0])
    monkeypatch.setattr(hub, "offline_reason", lambda: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)

    model = build("hf-hub:you/towers")

    assert model.config.preprocess.resize.mode == "squash"
    assert not files_to_come("hf-hub:you/towers")


def test_a_repository_for_transformers_alone_is_refused_before_its_weights_come(cache, monkeypatch):
    def download(repo, name, **kwargs):
        if name != "config.json":
            assert name != "model.safetensors"
            raise EntryNotFoundError(name)
        put(cache, repo, name, lambda path: path.write_text('{"model_type": "clip"}'))

    monkeypatch.setattr(hub, "offline_reason", lambda: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)

    with pytest.raises(ActionCLIPError, match="it names no backbone"):
        build("hf-hub:you/towers")


def test_nobody_is_told_to_delete_a_file_of_his_own(cache, tmp_path):
    open_clip_repository(lambda name, write: write(tmp_path / name))
    weights = tmp_path / "open_clip_pytorch_model.bin"
    torch.save({"state_dict": {}, "arguments": Path("runs")}, weights)

    with pytest.raises(ActionCLIPError, match=str(weights)) as caught:
        build(tmp_path)

    assert "Delete" not in caught.value.hint
    assert "torch.save(model.state_dict()" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ViT-B-16/datacomp_xl_s13b_b90", "datacomp_xl_s13b_b90k"),
        ("ViT-B16/openai", "ViT-B-16"),
        ("ViT-B-16", "ViT-B-16/"),
        ("tinny", "tiny"),
        ("ViT-B/16", "Did you mean 'ViT-B-16/openai'?"),
        ("ViT-L/14@336px", "Did you mean 'ViT-L-14-336/openai'?"),
        ("hf-hub:../up", "owner/repo"),
        ("hf-hub:alone", "owner/repo"),
    ],
)
def test_names_nobody_knows_get_a_suggestion(name, hint, cache):
    with pytest.raises(ActionCLIPError) as caught:
        build(name)

    assert hint in caught.value.expected + caught.value.hint


def test_tags_may_be_spelled_as_open_clip_allows():
    assert split_name("ViT-B-32/LAION2B-S34B-B79K") == ("ViT-B-32", "laion2b_s34b_b79k")


def test_a_file_or_another_folder_is_not_a_model(tmp_path):
    with pytest.raises(ActionCLIPError, match="not a model folder"):
        build(tmp_path)
    (tmp_path / "best.pt").touch()
    with pytest.raises(ActionCLIPError, match="actionclip convert"):
        build(tmp_path / "best.pt")


WITHOUT_NETWORK = """
import os, sys, time, socket
import actionclip.model.zoo.pretrained as pretrained
from actionclip.errors import ActionCLIPError
def unreachable(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")
socket.getaddrinfo = unreachable
for offline in ("", "1"):
    os.environ["HF_HUB_OFFLINE"] = offline
    for name in sys.argv[1:]:
        start = time.monotonic()
        try:
            pretrained.build(name)
        except ActionCLIPError as error:
            print(round(time.monotonic() - start, 2), error)
"""


def test_without_a_network_the_answer_is_quick_quiet_and_complete(tmp_path):
    names = ["ViT-B-32/openai", "ViT-B-16-SigLIP/webli", "hf-hub:me/model"]
    environment = {**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": ""}

    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_NETWORK, *names],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )

    lines = done.stdout.splitlines()
    assert done.stderr == ""
    assert len(lines) == 6
    assert all(float(line.split()[0]) < 5 for line in lines)
    assert all("Name or service not known" in line for line in lines[:3])
    assert all("HF_HUB_OFFLINE is set" in line for line in lines[3:])
    for towers, siglip, ours in (lines[:3], lines[3:]):
        assert "open_clip_model.safetensors" in towers
        assert "timm/vit_base_patch32_clip_224.openai" in towers
        assert str(tmp_path / "hub") in towers
        assert "--model tiny" in towers
        assert "tokenizer.json" in siglip
        assert "tokenizer_config.json of timm/ViT-B-16-SigLIP" in siglip
        assert "model.safetensors" in ours


def test_a_network_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "PATIENCE", 0.2)
    monkeypatch.setattr(hub, "_knock", lambda endpoint: time.sleep(5))
    start = time.monotonic()

    assert "no answer in 0.2 seconds" in hub.offline_reason()
    assert time.monotonic() - start < 3


def test_a_download_that_fails_names_the_file(cache, monkeypatch):
    monkeypatch.setattr(hub, "offline_reason", lambda: None)

    def fails(record, cache_dir):
        raise FileNotFoundError("403 Forbidden")

    monkeypatch.setattr(open_clip, "download_pretrained", fails)

    with pytest.raises(ActionCLIPError, match=r"403 Forbidden.*open_clip_model\.safetensors"):
        build("ViT-B-32/openai")


def test_tiny_is_there_without_a_download_and_leaves_chance_alone():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = build("tiny"), build("tiny", dtype=torch.bfloat16)

    assert torch.equal(torch.random.get_rng_state(), before)
    assert first.dtype == torch.float32
    assert second.dtype == torch.bfloat16
    size = first.config.preprocess.size
    videos = first.encode_video(torch.randn(2, 8, 3, size, size))
    assert videos.shape == first.encode_text(["a", "b"]).shape == (2, 128)
    with pytest.raises(ActionCLIPError, match="its own visual prompts"):
        build("tiny", prompts=PromptConfig(post="transf"))


def test_towers_with_zeros_for_random_numbers_build_at_once():
    """Even where torch draws again until all numbers are within bounds."""
    with without_drawing():
        bounded = torch.nn.init.trunc_normal_(torch.full((4,), 9.0), std=0.02)
        towers = OpenClipBackbone.from_architecture(ARCHITECTURE)

    assert bounded.abs().max() <= 2
    assert towers.clip.visual.proj.shape == (64, 16)


def test_the_catalogue_is_open_clips(monkeypatch):
    entries = {entry.name: entry for entry in catalogue()}
    tags = [f"{a}/{t}" for a, t in ALL_TAGS if not a.endswith("-quickgelu")]

    assert list(entries) == ["tiny", *tags]
    assert entries[DEFAULT].parameters == 149_620_737
    assert entries[DEFAULT].licence == "MIT"
    assert entries["ViT-L-14-336/openai"].size == 336
    snapshot = catalogue_module._read_snapshot()["models"]
    known = {row["name"].rpartition("/")[0]: row["parameters"] for row in snapshot}
    assert survey(known) == [row | {"files": list(row["files"])} for row in snapshot]


@pytest.mark.parametrize("name", ["ViT-B-32", "PE-Core-T-16-384", "MobileCLIP2-S0"])
def test_the_catalogue_counts_right(name):
    entry = next(entry for entry in catalogue() if entry.name.startswith(f"{name}/"))

    assert count_parameters(named_architecture(name)) == entry.parameters


@pytest.mark.slow
def test_the_catalogue_counts_right_everywhere():
    assert survey() == catalogue_module._read_snapshot()["models"]


def test_the_catalogue_knows_what_is_cached(cache, small_architecture):
    weights, _ = wanted_files(tag_config("ViT-B-16", "openai"))
    put(cache, weights.repo, weights.names[0], Path.touch)

    cached = {entry.name for entry in catalogue() if entry.cached}

    assert cached == {"tiny", "ViT-B-16/openai"}


def test_the_catalogue_imports_nothing_heavy():
    code = (
        "import sys; from actionclip.model.zoo.catalogue import catalogue; "
        "assert len(catalogue()) > 150; "
        "sys.exit(any(name in sys.modules for name in ('torch', 'open_clip', 'av')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
