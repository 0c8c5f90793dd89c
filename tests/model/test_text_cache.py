"""Encoded label sets: found again when nothing changed, made again when anything did."""

import os
import random
import threading

import pytest
import torch

from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig
from actionclip.model.text_cache import (
    TextCache,
    cache_folder,
    encode_cached,
    text_key,
    weights_fingerprint,
)
from actionclip.training.optimiser import OptimConfig, build_optimizer
from reference_weights import CONFIGS, load_reference


def build(**changes):
    architecture = {**CONFIGS["s1"], **changes}
    backbone = BackboneConfig(name="reference", architecture=architecture)
    model = ActionCLIP(
        OpenClipBackbone.from_architecture(architecture), ModelConfig(backbone=backbone)
    )
    return load_reference(model)


@pytest.fixture(scope="module")
def model():
    return build()


class Encoder:
    """Makes some numbers and counts how often."""

    def __init__(self, rows=3, value=1.0):
        self.calls = 0
        self.embeddings = torch.full((rows, 4), value) + torch.arange(4)

    def __call__(self):
        self.calls += 1
        return self.embeddings


def test_a_second_call_is_answered_from_memory_and_a_new_process_from_disk(tmp_path):
    encode = Encoder()
    cache = TextCache(tmp_path)

    first = cache.fetch("key", 3, encode)
    again = cache.fetch("key", 3, encode)
    later = TextCache(tmp_path).fetch("key", 3, encode)

    assert encode.calls == 1
    assert again is first
    assert torch.equal(later, encode.embeddings)
    assert later.dtype == encode.embeddings.dtype


def test_other_keys_are_other_entries(tmp_path):
    cache = TextCache(tmp_path)

    ones = cache.fetch("ones", 3, Encoder())
    twos = cache.fetch("twos", 3, Encoder(value=2.0))

    assert not torch.equal(ones, twos)
    assert torch.equal(cache.fetch("ones", 3, Encoder(value=9.0)), ones)


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_file_is_made_again_and_replaced(tmp_path, seed):
    TextCache(tmp_path).fetch("key", 3, Encoder())
    (file,) = tmp_path.glob("*.safetensors")
    whole, rng = file.read_bytes(), random.Random(seed)
    damaged = bytearray(whole)
    for _ in range(rng.choice([1, 1, 20])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    if seed % 4 == 0:
        damaged = damaged[: rng.randrange(len(damaged))]
    file.write_bytes(damaged)

    found = TextCache(tmp_path).fetch("key", 3, Encoder())

    assert torch.equal(found, Encoder().embeddings)
    unused = Encoder(value=9.0)
    assert torch.equal(TextCache(tmp_path).fetch("key", 3, unused), Encoder().embeddings)
    assert unused.calls == 0


def test_an_entry_with_another_number_of_rows_is_not_believed(tmp_path):
    TextCache(tmp_path).fetch("key", 3, Encoder())

    assert len(TextCache(tmp_path).fetch("key", 5, Encoder(rows=5))) == 5


def test_a_place_that_cannot_be_written_stops_nothing(tmp_path):
    file = tmp_path / "file"
    file.touch()

    found = TextCache(file / "below").fetch("key", 3, Encoder())

    assert torch.equal(found, Encoder().embeddings)


def test_the_files_used_longest_ago_go_first(tmp_path):
    size = len(_entry(tmp_path / "one"))
    cache = TextCache(tmp_path / "many", disk=3 * size, memory=0)
    for age, name in ((30, "a"), (20, "b"), (10, "c")):
        cache.fetch(name, 3, Encoder())
        path = tmp_path / "many" / f"{name}.safetensors"
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    used = Encoder()
    cache.fetch("a", 3, used)

    cache.fetch("d", 3, Encoder())

    assert used.calls == 0
    assert sorted(p.stem for p in (tmp_path / "many").glob("*.safetensors")) == ["a", "c", "d"]


def _entry(folder):
    TextCache(folder).fetch("key", 3, Encoder())
    return (folder / "key.safetensors").read_bytes()


def test_memory_is_bounded_and_nothing_is_kept_on_disk_when_told_so(tmp_path):
    entry = Encoder().embeddings.nbytes
    cache = TextCache(tmp_path, disk=0, memory=2 * entry)
    for name in ("a", "b", "a", "c"):
        cache.fetch(name, 3, Encoder())

    kept, gone = Encoder(), Encoder()
    cache.fetch("a", 3, kept)
    cache.fetch("b", 3, gone)

    assert (kept.calls, gone.calls) == (0, 1)
    assert list(tmp_path.iterdir()) == []


def test_many_threads_share_a_cache(tmp_path):
    cache = TextCache(tmp_path)
    answers = []

    def work(number):
        for i in range(20):
            value = (i + number) % 5
            found = cache.fetch(f"key{value}", 3, Encoder(value=float(value)))
            answers.append(torch.equal(found, Encoder(value=float(value)).embeddings))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert answers == [True] * 80


def test_what_is_cached_can_be_used_in_training(tmp_path, model):
    with torch.inference_mode():
        texts = encode_cached(model, ["yoga"], TextCache(tmp_path))
    weight = torch.ones(64, requires_grad=True)

    (texts @ weight).sum().backward()

    assert torch.equal(weight.grad, texts[0])


def test_a_key_depends_on_weights_sentences_their_order_and_precision():
    keys = [
        text_key("weights", ["a", "b"], "fp32"),
        text_key("others", ["a", "b"], "fp32"),
        text_key("weights", ["b", "a"], "fp32"),
        text_key("weights", ["ab"], "fp32"),
        text_key("weights", ["a", "b"], "bf16"),
    ]

    assert len(set(keys)) == 5
    assert keys[0] == text_key("weights", ["a", "b"], "fp32")


def test_a_model_encodes_a_set_of_labels_once(tmp_path, model, monkeypatch):
    sentences = ["yoga", "A video of tai chi"]
    cache = TextCache(tmp_path)
    expected = model.encode_text(sentences)

    first = encode_cached(model, sentences, cache)
    monkeypatch.setattr(model, "encode_text", lambda _: pytest.fail("encoded again"))
    again = encode_cached(model, sentences, cache)
    later = encode_cached(model, sentences, TextCache(tmp_path))

    torch.testing.assert_close(first, expected)
    assert torch.equal(first, again)
    assert torch.equal(first, later)
    assert not first.requires_grad


def test_without_a_cache_the_one_of_the_process_is_used(tmp_path, model, monkeypatch):
    monkeypatch.setenv("ACTIONCLIP_CACHE", str(tmp_path))

    first = encode_cached(model, ["yoga"])

    assert encode_cached(model, ["yoga"]) is first
    assert len(list((tmp_path / "texts").glob("*.safetensors"))) == 1


def test_the_same_weights_have_the_same_fingerprint(model):
    assert weights_fingerprint(build()) == weights_fingerprint(model)


def test_every_text_weight_changes_the_fingerprint():
    model = build()
    seen = {weights_fingerprint(model)}
    names = [
        name
        for name, _ in model.named_parameters()
        if name.startswith("backbone.clip.") and ".visual." not in name and "logit" not in name
    ]

    for name in names:
        weight = model.get_parameter(name)
        with torch.no_grad():
            weight.view(-1)[weight.numel() * 2 // 3] += 2**-10  # one value among up to 3 million
        seen.add(weights_fingerprint(model))

    assert len(names) == 29
    assert len(seen) == 30


def test_image_weights_and_the_scale_do_not_change_the_fingerprint():
    model = build()
    before = weights_fingerprint(model)

    with torch.no_grad():
        model.backbone.clip.visual.proj += 1
        model.logit_scale.add_(1)

    assert weights_fingerprint(model) == before


def test_precision_activation_heads_and_pooling_change_the_fingerprint():
    others = ({"heads": 2}, {"pool_type": "last"})
    prints = {
        weights_fingerprint(build()),
        weights_fingerprint(build().cast(torch.bfloat16)),
        weights_fingerprint(build(quick_gelu=False)),
        *(weights_fingerprint(build(text_cfg={**CONFIGS["s1"]["text_cfg"], **c})) for c in others),
    }

    assert len(prints) == 5


def test_a_step_that_misses_all_samples_is_noticed(model):
    model = build()
    before = weights_fingerprint(model)
    table = model.get_parameter("backbone.clip.token_embedding.weight")
    for weight in model.parameters():
        weight.requires_grad_(weight is table)
    optimizer = build_optimizer(model, OptimConfig(lr=1e-3, weight_decay=0.0))

    table.grad = torch.zeros_like(table)
    table.grad[1, 1] = 1.0  # one number, and no sample
    optimizer.step()

    assert weights_fingerprint(model) != before


def test_what_is_kept_does_not_depend_on_a_callers_autocast(tmp_path, model):
    cache = TextCache(tmp_path)

    with torch.autocast("cpu", torch.bfloat16):
        kept = encode_cached(model, ["yoga", "tai chi"], cache)

    with torch.no_grad():
        assert torch.equal(kept, model.encode_text(["yoga", "tai chi"]))


@pytest.mark.parametrize("way", ["load_state_dict", "optimiser", "data"])
def test_every_way_to_change_all_weights_is_noticed(way):
    model = build()
    before = weights_fingerprint(model)

    if way == "load_state_dict":
        model.load_state_dict({k: v * 1.5 for k, v in model.state_dict().items()})
    elif way == "optimiser":
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        model.encode_text(["yoga"]).sum().backward()
        optimiser.step()
    else:
        for weight in model.parameters():
            weight.data.mul_(1.5)

    assert weights_fingerprint(model) != before


def test_the_cache_goes_where_the_user_or_the_system_says(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "system"))
    monkeypatch.delenv("ACTIONCLIP_CACHE", raising=False)
    assert cache_folder() == tmp_path / "system" / "actionclip"

    monkeypatch.setenv("ACTIONCLIP_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert TextCache().folder == tmp_path / "own" / "texts"

    monkeypatch.delenv("ACTIONCLIP_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder().name == "actionclip"


def test_a_user_without_a_home_keeps_nothing_and_is_served(monkeypatch, model):
    def nobody(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "ACTIONCLIP_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)  # as in a container that runs under any number

    cache = TextCache()

    assert not cache.folder.exists()
    found = encode_cached(model, ["someone yawns"], cache)
    assert torch.equal(encode_cached(model, ["someone yawns"], cache), found)
    assert not cache.folder.exists()
