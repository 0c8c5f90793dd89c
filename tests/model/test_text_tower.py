import hashlib
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actionclip.data import label_sets
from actionclip.errors import ActionCLIPError
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.prompts.text import AUTHORS_TEMPLATES, make_prompts
from actionclip.model.towers import text_tower
from architectures import ARCHITECTURES, TEXT


def build(name="vit", **text):
    architecture = ARCHITECTURES[name]
    architecture = {**architecture, "text_cfg": {**architecture["text_cfg"], **text}}
    return OpenClipBackbone.from_architecture(architecture).eval()


@pytest.fixture(scope="module")
def vit():
    return build()


def strings(golden):
    return golden("tokenizer.json")["items"]


def test_all_recorded_strings_have_the_authors_tokens(golden):
    for item in strings(golden):
        assert text_tower.clip_tokenizer().encode(item["text"]) == item["encode"], item["text"]
        if item["error"]:
            continue
        (tokens,) = text_tower.tokenize_clip([item["text"]], 77).tolist()
        expected = item["tokenize_nonpad"]
        assert tokens == expected + [0] * (77 - len(expected)), item["text"]
        assert torch.tensor(tokens).argmax() == item["argmax"]


def test_all_strings_too_long_for_the_authors_are_refused_by_name(golden):
    refused = [item["text"] for item in strings(golden) if item["error"]]

    assert len(refused) == 2
    for text in refused:
        with pytest.raises(ActionCLIPError, match="reads 77 tokens at most") as error:
            text_tower.tokenize_clip(["short", text], 77)
        assert repr(text) in str(error.value)


def test_tokens_turn_back_into_text(golden):
    tokenizer = text_tower.clip_tokenizer()

    for item in strings(golden):
        if not item["error"] and item["decode"] is not None:
            assert tokenizer.decode(item["encode"]) == item["decode"], item["text"]


def test_the_class_prompts_recorded_from_the_authors(golden):
    recorded = golden("prompt_tokens")
    texts = [t.format(label) for t in AUTHORS_TEMPLATES for label in recorded["labels"]]

    assert (text_tower.tokenize_clip(texts, 77).numpy() == recorded["classes_tokens"]).all()


def authors_labels(name):
    """The lists of the authors' tables: of HMDB51 two pairs are the other way round."""
    labels = label_sets.load(name)
    if name == "hmdb51":
        for pair in (("kick", "kick_ball"), ("sword", "sword_exercise")):
            a, b = (labels.index(label) for label in pair)
            labels[a], labels[b] = labels[b], labels[a]
    return labels


@pytest.mark.parametrize(
    ("recorded", "name"),
    [("kinetics_400_labels", "kinetics400"), ("ucf_labels", "ucf101"), ("hmdb51_labels", "hmdb51")],
)
def test_whole_label_sets_have_the_authors_tokens(golden, recorded, name):
    expected = golden("prompt_tokens_sha256.json")[recorded]
    prompts = make_prompts(authors_labels(name), AUTHORS_TEMPLATES, clean_labels=False)

    tokens = text_tower.tokenize_clip(list(prompts.sentences), 77)

    assert list(tokens.shape) == expected["shape"]
    assert (tokens != 0).sum(1).max() == expected["max_len"]
    digest = hashlib.sha256(tokens.numpy().astype("<i8").tobytes()).hexdigest()
    assert digest == expected["sha256_int64_le"]


SENTENCES = ["a man juggles", "run", "", "two people dance slowly on a very small stage", "run"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("vit", {}),
        ("vit", {"width": 128, "heads": 2}),
        ("vit", {"pool_type": "eos", "eos_id": 49407}),
        ("pe", {}),
        ("pe", {"proj_bias": True}),
        ("pe", {"proj_type": "none"}),
    ],
)
def test_leaving_out_empty_positions_changes_nothing(name, text, monkeypatch):
    monkeypatch.setattr(text_tower, "BATCH", 2)  # sorted over several batches
    backbone = build(name, **text)
    tokens = backbone.tokenize(SENTENCES)

    with torch.no_grad():
        short, whole = backbone.encode_text(tokens), backbone.clip.encode_text(tokens)

    torch.testing.assert_close(short, whole, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(short[1], short[4])


@settings(max_examples=25)
@given(st.lists(st.integers(0, 75), min_size=1, max_size=6))
def test_order_and_number_of_sentences_never_matter(vit, lengths):
    tokens = torch.zeros(len(lengths), 77, dtype=torch.int64)
    for row, length in enumerate(lengths):
        tokens[row, 1 : length + 1] = torch.arange(1, length + 1) * 7
        tokens[row, 0], tokens[row, length + 1] = 49406, 49407

    with torch.no_grad():
        together = vit.encode_text(tokens)
        alone = torch.cat([vit.encode_text(row[None]) for row in tokens])

    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_the_tower_runs_only_as_far_as_the_longest_sentence(vit, monkeypatch):
    monkeypatch.setattr(text_tower, "BATCH", 3)
    seen = []
    hook = vit.clip.transformer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))

    vit.encode_text(vit.tokenize(SENTENCES))

    hook.remove()
    assert [tuple(x.shape[:2]) for x in seen] == [(3, 3), (2, 11)]


def test_gradients_are_those_of_the_whole_tower(vit):
    tokens = vit.tokenize(SENTENCES)
    gradients = []
    for encode in (vit.encode_text, vit.clip.encode_text):
        vit.zero_grad()
        encode(tokens).square().mean().backward()
        gradients.append(vit.clip.token_embedding.weight.grad.clone())

    assert gradients[0].abs().sum() > 0
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-5)


def test_an_end_mark_within_a_label_ends_the_sentence(vit):
    """A quirk of the authors' code, kept: the embedding is read at the first end mark."""
    tokens = vit.tokenize(["run<|endoftext|> and hide", "run"])

    assert (tokens[0] == 49407).sum() == 2
    with torch.no_grad():
        marked, plain = vit.encode_text(tokens)
    torch.testing.assert_close(marked, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["siglip", "coca"])
def test_a_tower_that_is_not_causal_reads_all_positions(name, monkeypatch):
    monkeypatch.setattr(text_tower, "BATCH", 2)
    backbone = build(name)
    tokens = torch.randint(1, 1000, (5, backbone.context_length))

    with torch.no_grad():
        whole = backbone.clip.encode_text(tokens, normalize=False)
        torch.testing.assert_close(backbone.encode_text(tokens), whole, rtol=1e-5, atol=1e-5)
    with pytest.raises(ActionCLIPError, match=f"needs all {backbone.context_length}"):
        backbone.encode_text(tokens[:, :5])


def test_a_short_context_is_the_limit(vit):
    sentence = "dance " * 31

    assert vit.tokenize([sentence]).shape == (1, 77)
    with pytest.raises(ActionCLIPError, match=r"has 33 tokens.* reads 32 tokens at most"):
        build("pe").tokenize([sentence])


class WordTokenizer:
    """Stands in for open_clip's wrapper of a Hugging Face tokenizer: a token for each word."""

    def __init__(self, context):
        self.context = context

    def clean_fn(self, text):
        return text.replace("_", " ")

    def tokenizer(self, texts, *, add_special_tokens, truncation):
        assert not truncation
        extra = [1] * add_special_tokens
        return SimpleNamespace(input_ids=[[len(w) for w in t.split()] + extra for t in texts])

    def __call__(self, texts):
        rows = self.tokenizer(map(self.clean_fn, texts), add_special_tokens=True, truncation=False)
        padded = [(row + [0] * self.context)[: self.context] for row in rows.input_ids]
        return torch.tensor(padded, dtype=torch.int32)


def test_other_vocabularies_are_not_cut_off_either(monkeypatch):
    asked = []

    def hub_tokenizer(source, context, settings):
        asked.append((source, context, dict(settings)))
        return WordTokenizer(context)

    monkeypatch.setattr(text_tower, "hub_tokenizer", hub_tokenizer)
    backbone = build("siglip")

    tokens = backbone.tokenize(["a_bb ccc"])

    assert asked == [("somebody/tokenizer", 16, {"clean": "canonicalize"})]
    assert tokens.dtype == torch.int64
    assert tokens[0, :5].tolist() == [1, 2, 3, 1, 0]
    assert backbone.tokenize(["a " * 15]).shape == (1, 16)
    with pytest.raises(ActionCLIPError, match="has 17 tokens"):
        backbone.tokenize(["fine", "a " * 16])


def test_a_tokenizers_folder_beats_its_name(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(
        text_tower, "hub_tokenizer", lambda source, *_: asked.append(source) or WordTokenizer(16)
    )
    backbone = OpenClipBackbone.from_architecture(
        ARCHITECTURES["siglip"], tokenizer="somebody/tokenizer", tokenizer_dir=tmp_path
    )

    backbone.tokenize(["a"])

    assert asked == [str(tmp_path)]


@pytest.mark.parametrize(
    ("failure", "there", "message"),
    [
        (ImportError("x"), False, r"a package: transformers, which.*actionclip\[siglip\]"),
        (ImportError("It needs sentencepiece.\nx"), True, "a package: It needs sentencepiece"),
        (OSError("no connection\nat all"), True, "could not be loaded: no connection.*folder"),
        (KeyError("added_tokens"), True, "could not be loaded: 'added_tokens'"),
    ],
)
def test_a_tokenizer_that_cannot_be_had_is_an_error_for_a_person(
    monkeypatch, failure, there, message
):
    def fail(*args, **kwargs):
        raise failure

    if not there:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("open_clip.tokenizer.HFTokenizer", fail)

    with pytest.raises(ActionCLIPError, match=message):
        text_tower.hub_tokenizer("nobody/nothing", 16, ())


def test_a_tokenizer_that_lacks_what_it_needs_is_an_error_for_a_person(monkeypatch):
    class Unpadded(WordTokenizer):
        def __call__(self, texts):
            raise ValueError("Asking to pad.\nBut there is no padding token.")

    monkeypatch.setattr(text_tower, "hub_tokenizer", lambda *_: Unpadded(16))
    backbone = OpenClipBackbone.from_architecture(ARCHITECTURES["siglip"], tokenizer="a/b")

    with pytest.raises(ActionCLIPError, match=r"'a/b' could not be loaded: Asking to pad\. "):
        backbone.tokenize(["a"])


def test_no_sentences_is_an_empty_table(vit):
    assert vit.tokenize([]).shape == (0, 77)
    assert vit.encode_text(vit.tokenize([])).shape == (0, TEXT["width"])
