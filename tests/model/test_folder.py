"""Model folders: what is saved is what is loaded, and nothing is ever half written."""

import dataclasses
import json
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_model import small_model

from actionclip.errors import ActionCLIPError, StorageError
from actionclip.model.weights import files
from actionclip.model.weights.folder import copy_folder, load_folder, save
from actionclip.model.weights.hub import push_folder


@pytest.fixture
def folder(tmp_path):
    return save(small_model(), tmp_path / "model", labels=["wash dishes", "juggle"])


def edit(folder, **changes):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        table = config
        for parent in parents:
            table = table[parent]
        table[last] = value
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(
    "prompts",
    [{}, {"post": "lstm"}, {"post": "transf_cls"}, {"pre": "joint"}, {"inner": "shift"}],
    ids=str,
)
def test_what_is_loaded_answers_as_what_was_saved(prompts, tmp_path):
    model = small_model(**prompts)

    loaded = load_folder(save(model, tmp_path / "model"))

    frames = torch.randn(2, 4, 3, 16, 16)
    assert loaded.config == model.config
    assert torch.equal(loaded.encode_video(frames), model.encode_video(frames))
    assert not loaded.training


def test_a_folder_holds_the_four_files_that_anybody_may_read(folder):
    names = {"model.safetensors", "config.json", "labels.txt", "README.md"}

    assert {path.name for path in folder.iterdir()} == names
    assert len({stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}) == 1
    assert (folder / "labels.txt").read_text() == "wash dishes\njuggle\n"
    card = (folder / "README.md").read_text()
    assert "license: mit" in card
    assert "library_name: actionclip" in card
    assert load_folder(folder).config.labels == ("wash dishes", "juggle")


def test_loading_leaves_torchs_generator_alone(folder):
    before = torch.random.get_rng_state()

    load_folder(folder)

    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_is_kept_in_the_file_and_raised_on_loading(dtype, tmp_path):
    model = small_model().to(dtype)

    loaded = load_folder(save(model, tmp_path / "model"))

    assert (
        files.read_header(tmp_path / "model/model.safetensors")["backbone.clip.visual.proj"].dtype
        == dtype
    )
    proj = loaded.backbone.clip.visual.proj
    assert proj.dtype == torch.float32
    assert torch.equal(proj, model.backbone.clip.visual.proj.float())
    low = load_folder(tmp_path / "model", dtype=torch.bfloat16)
    assert low.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": 2}, "layout 2"),
        ({"sampling__framez": 8}, r"sampling\.framez"),
        ({"sampling__frames": 0}, "frames is 0"),
        ({"sampling__frames": 10**9}, r"sampling\.frames = 1000000000"),
        ({"preprocess__resize__size": 10**8}, r"preprocess\.resize\.size = 100000000"),
        ({"preprocess__size": 32}, r"preprocess\.size = 32"),
        ({"prompts__post": "transv"}, r"prompts\.post"),
        ({"prompts__post": "transf"}, r"missing: post\."),
        ({"prompts__positions": 10**30}, r"prompts\.positions"),
        ({"scale": float("inf")}, "Infinity"),
        ({"trust_remote_code": True}, "trust_remote_code"),
        ({"backbone__architecture__auto_map": {"AutoModel": "a.B"}}, "auto_map"),
        ({"backbone__architecture__vision_cfg__layers": 10**9}, "layers"),
        ({"backbone__architecture__vision_cfg__width": -64}, "width"),
        ({"backbone__architecture__vision_cfg__width": 0}, "cannot be built|cannot build"),
        ({"backbone__architecture__vision_cfg__patch_size": 0}, "patches|patch"),
        ({"backbone__architecture__vision_cfg__patch_size": {}}, "patches of {}"),
        ({"backbone__architecture__vision_cfg__image_size": None}, "frames of None pixels"),
        ({"backbone__architecture__vision_cfg__image_size": {}}, "frames of {} pixels"),
        ({"backbone__architecture__vision_cfg__layers": False}, "layers = False"),
        ({"backbone__architecture__text_cfg__layers": 0}, "layers = 0"),
        ({"backbone__architecture__vision_cfg__timm_model_name": "hf-hub:evil/x"}, "timm_model"),
        ({"backbone__architecture__vision_cfg__timm_model_pretrained": True}, "timm_model"),
        ({"backbone__architecture__text_cfg__hf_model_name": "evil/x"}, "hf_model_name"),
        (
            {"backbone__architecture__text_cfg__tokenizer_kwargs": {"trust_remote_code": True}},
            "trust_remote_code",
        ),
        ({"backbone__architecture__text_cfg": "x"}, "by dict and str|text_cfg"),
        ({"backbone__architecture": {}}, "without embed_dim"),
        ({"backbone__tokenizer": "evil/tokenizer"}, "evil/tokenizer"),
        ({"backbone__tokenizer": "../../etc"}, "outside the model folder"),
        ({"backbone__tokenizer": "/etc"}, "outside the model folder"),
        ({"labels": ["other"]}, r"labels\.txt holds 2 labels"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_configurations_that_ask_for_too_much_are_refused(changes, reason, folder):
    edit(folder, **changes)

    with pytest.raises(ActionCLIPError, match=reason):
        load_folder(folder)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "[" * 100_000, '{"backbone": 3}', "\xff", '{"format": "x"}', "null"]
)
def test_a_broken_configuration_is_an_error_with_the_file(text, folder):
    (folder / "config.json").write_text(text, encoding="latin-1")

    with pytest.raises(ActionCLIPError, match=r"config\.json"):
        load_folder(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(name, folder):
    (folder / name).unlink()

    with pytest.raises(ActionCLIPError, match=f"no {name}"):
        load_folder(folder)


def test_tokenizers_with_code_are_refused(folder):
    edit(folder, backbone__tokenizer="tokenizer")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer_config.json").write_text('{"auto_map": {"A": "b.C"}}')
    with pytest.raises(ActionCLIPError, match="auto_map"):
        load_folder(folder)
    (folder / "tokenizer" / "tokenizer_config.json").write_text("{}")
    (folder / "tokenizer" / "evil.py").touch()
    with pytest.raises(ActionCLIPError, match=r"evil\.py"):
        load_folder(folder)


@pytest.mark.parametrize(
    "hostile", ['{"a": [{"auto\\u005fmap": {}}]}', '{"auto_map" : 1}', "no JSON"]
)
def test_code_that_a_tokenizer_names_in_other_letters_is_refused(folder, hostile):
    edit(folder, backbone__tokenizer="tokenizer")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer_config.json").write_text(hostile)

    with pytest.raises(ActionCLIPError, match=r"auto_map|JSON"):
        load_folder(folder)


def test_only_the_tokenizers_files_are_taken_from_where_weights_lie_too(folder, tmp_path):
    edit(folder, backbone__tokenizer="tokenizer")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    model = load_folder(folder)
    for name in ("open_clip_model.safetensors", "README.md", ".gitattributes", "code.py"):
        (folder / "tokenizer" / name).write_text("x")  # as a snapshot of the Hub has them

    save(model, tmp_path / "again")

    assert [path.name for path in (tmp_path / "again" / "tokenizer").iterdir()] == [
        "tokenizer.json"
    ]
    assert load_folder(tmp_path / "again").config.backbone.tokenizer == "tokenizer"


@pytest.mark.parametrize("label", ["running\n", "running\r", "run\nning", "\u2028", " "])
def test_a_label_that_is_no_line_of_its_own_is_refused(label, tmp_path):
    with pytest.raises(ActionCLIPError, match="a line break"):
        save(small_model(), tmp_path / "model", labels=[label, "walking"])


def test_a_tokenizers_files_travel_with_the_folder(folder, tmp_path):
    edit(folder, backbone__tokenizer="tokenizer")
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text("{}")
    model = load_folder(folder)
    assert model.backbone.tokenizer_dir == str(folder / "tokenizer")

    save(model, tmp_path / "again")

    assert (tmp_path / "again" / "tokenizer" / "tokenizer.json").read_text() == "{}"
    assert load_folder(tmp_path / "again").config.backbone.tokenizer == "tokenizer"


def test_labels_and_weights_that_cannot_be_right_are_not_written(tmp_path):
    with pytest.raises(ActionCLIPError, match="line break"):
        save(small_model(), tmp_path / "a", labels=["run\nfast"])
    model = small_model()
    model.backbone.clip.visual.proj.data[0, 0] = torch.inf
    with pytest.raises(ActionCLIPError, match=r"infinite numbers in backbone\.clip\.visual\.proj"):
        save(model, tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.fixture
def file_size_limit():
    """Makes every write beyond a size fail, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def limit(size):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))

    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("limit", [100, 50_000])
def test_a_full_disk_leaves_the_previous_model_whole(limit, folder, file_size_limit):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    model = small_model(seed=1)
    file_size_limit(limit)

    with pytest.raises(StorageError) as caught:
        save(model, folder)

    file_size_limit(resource.RLIM_INFINITY)
    assert str(folder) in str(caught.value)
    assert "bytes are needed" in str(caught.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


CALLS = 8  # three small files written, four files and their folder flushed


@pytest.mark.parametrize("step", range(1, CALLS + 1))
def test_a_failure_at_any_step_leaves_one_whole_model(step, folder, monkeypatch):
    """Every call that touches the disk fails in turn, from the first write to the last flush."""
    calls = []

    def failing(original):
        def call(*args, **kwargs):
            calls.append(original)
            if len(calls) == step:
                raise OSError(28, "No space left on device")
            return original(*args, **kwargs)

        return call

    old, new = load_folder(folder), small_model(seed=1)
    with monkeypatch.context() as patch:
        patch.setattr(files, "_flush", failing(files._flush))
        patch.setattr(Path, "write_bytes", failing(Path.write_bytes))
        with pytest.raises(StorageError, match=r"No space left.* bytes are needed, and .* free"):
            save(new, folder, labels=["wash dishes", "juggle"])

    found = load_folder(folder).backbone.clip.visual.proj
    expected = new if step == CALLS else old
    assert torch.equal(found, expected.backbone.clip.visual.proj)
    assert not list(folder.glob(".*"))


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_is_copied_with_another_configuration(folder, tmp_path, there):
    model = load_folder(folder)
    (folder / "labels.txt").unlink()  # a folder may do without
    target = tmp_path / "target"
    if there:
        save(small_model(seed=1), target, labels=["another model's"])

    copy_folder(folder, target, dataclasses.replace(model.config, scale=7.0))

    loaded = load_folder(target)
    assert loaded.config == dataclasses.replace(model.config, scale=7.0)
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_what_a_killed_process_left_is_swept(folder):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = folder / f".actionclip-writing-{child.pid}-abc"
    alive = folder / f".actionclip-writing-{os.getpid()}-abc"
    for path in (dead, alive):
        path.mkdir()
        (path / "model.safetensors").touch()

    save(small_model(), folder)

    assert not dead.exists()
    assert alive.exists()


def test_a_label_that_is_not_text_is_refused_and_the_model_before_stays(folder):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    with pytest.raises(ActionCLIPError, match=r"'caf.udce9', is not UTF-8"):
        save(small_model(), folder, labels=["wave", "caf\udce9"])

    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_an_unwritable_place_is_a_storage_error(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(StorageError, match="could not be written") as refused:
        save(small_model(), tmp_path / "file" / "model")

    assert f"{tmp_path / 'file'} is a file." in str(refused.value)
    assert "space" not in str(refused.value)


class FakeHub:
    """Notes what a HfApi would be asked."""

    def __init__(self, problem=None):
        self.calls, self.problem = [], problem

    def create_repo(self, repo, **options):
        self.calls.append(("create", repo, options))

    def upload_folder(self, **options):
        if self.problem:
            raise self.problem
        self.calls.append(("upload", options["repo_id"], options))


def test_pushing_creates_the_repository_and_uploads_the_folder(folder):
    api = FakeHub()

    assert push_folder(folder, "me/model", api=api) == "hf-hub:me/model"

    assert [call[:2] for call in api.calls] == [("create", "me/model"), ("upload", "me/model")]
    assert api.calls[0][2] == {"private": True, "exist_ok": True}
    assert api.calls[1][2]["folder_path"] == str(folder)


def test_a_refusal_of_the_hub_says_how_to_log_in(folder):
    with pytest.raises(ActionCLIPError, match=r"401.*hf auth login"):
        push_folder(folder, "me/model", api=FakeHub(PermissionError("401 Unauthorized")))
    with pytest.raises(ActionCLIPError, match="owner/repo"):
        push_folder(folder, "model", api=FakeHub())
