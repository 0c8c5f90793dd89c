"""Templates and descriptions become sentences."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import actionclip
from actionclip.errors import ActionCLIPError
from actionclip.model.prompts.text import (
    AUTHORS_TEMPLATES,
    TEMPLATE_SETS,
    fill,
    make_prompts,
    read_descriptions,
    read_templates,
    variety,
)
from actionclip.model.towers.text_tower import tokenize_clip

LISTS = Path(actionclip.__file__).parent / "data" / "labels"


def test_the_authors_table_of_tokens(golden):
    recorded = golden("prompt_tokens")

    prompts = make_prompts(recorded["labels"].tolist(), AUTHORS_TEMPLATES, clean_labels=False)

    tokens = tokenize_clip(list(prompts.sentences), 77)
    assert torch.equal(tokens, torch.tensor(recorded["classes_tokens"], dtype=torch.int64))
    assert prompts.templates == 16


def test_the_authors_table_of_ucf101_starts_and_ends_as_recorded(golden):
    """Their CSV files are not here; the first and the last rows of their tables are."""
    recorded = golden("prompt_tokens_sha256.json")["ucf_labels"]

    first = fill(AUTHORS_TEMPLATES, ["ApplyEyeMakeup", "ApplyLipstick", "Archery"])[:3]
    last = fill(AUTHORS_TEMPLATES, ["YoYo"])[-1]

    tokens = tokenize_clip([*first, last], 77).tolist()
    for row, expected in zip(tokens, [*recorded["first_rows"], recorded["last_row"]], strict=True):
        assert row[: len(expected)] == expected


@pytest.mark.parametrize(
    ("name", "file"), [("ucf_labels", "ucf101"), ("kinetics_400_labels", "kinetics400")]
)
def test_the_whole_table_of_a_data_set(golden, name, file):
    recorded = golden("prompt_tokens_sha256.json")[name]
    labels = (LISTS / f"{file}.txt").read_text().splitlines()

    tokens = tokenize_clip(fill(AUTHORS_TEMPLATES, labels), 77).numpy()

    assert list(tokens.shape) == recorded["shape"]
    assert (
        hashlib.sha256(tokens.astype("<i8").tobytes()).hexdigest() == (recorded["sha256_int64_le"])
    )
    assert int(np.count_nonzero(tokens, axis=1).max()) == recorded["max_len"]


@given(st.lists(st.text(max_size=5), max_size=4), st.integers(1, 4), st.data())
def test_row_k_times_c_plus_c_is_template_k_with_label_c(labels, count, data):
    templates = data.draw(st.lists(st.sampled_from(AUTHORS_TEMPLATES), min_size=count))

    sentences = fill(templates, labels)

    assert len(sentences) == len(templates) * len(labels)
    for k, template in enumerate(templates):
        before, after = template.split("{}")
        for c, label in enumerate(labels):
            assert sentences[k * len(labels) + c] == before + label + after


def test_the_sixteen_are_eleven_prefix_one_cloze_three_suffix_and_the_label():
    counts = {name: len(TEMPLATE_SETS[name]) for name in ("prefix", "cloze", "suffix", "label")}

    assert counts == {"prefix": 11, "cloze": 1, "suffix": 3, "label": 1}
    assert sorted(t for name in counts for t in TEMPLATE_SETS[name]) == sorted(AUTHORS_TEMPLATES)
    assert variety("Can you recognize the action of {}?") == "cloze"


@pytest.mark.parametrize("name", TEMPLATE_SETS)
def test_every_set_is_usable_and_found_by_its_name(name):
    templates = read_templates(name)

    assert templates == TEMPLATE_SETS[name] == read_templates(list(templates))
    assert len(set(templates)) == len(templates)


def test_clips_templates_for_kinetics():
    assert len(TEMPLATE_SETS["clip28"]) == 28
    assert TEMPLATE_SETS["clip28"][:3] == (
        "a photo of {}.",
        "a photo of a person {}.",
        "a photo of a person using {}.",
    )
    assert TEMPLATE_SETS["clip28"][-1] == "a demonstration of a person practicing {}."


def test_templates_from_an_option_and_from_a_file(tmp_path):
    file = tmp_path / "templates.txt"
    file.write_text("A clip of {}\n\n  {}, filmed from above \n", encoding="utf-8-sig")

    assert read_templates("A clip of {}") == ("A clip of {}",)
    assert read_templates(file) == read_templates(str(file))
    assert read_templates(file) == ("A clip of {}", "{}, filmed from above")


@pytest.mark.parametrize("line", ["A clip of", "{} and {}", "A clip of {label}"])
def test_a_bad_template_is_named_with_its_line(tmp_path, line):
    file = tmp_path / "templates.txt"
    file.write_text(f"A clip of {{}}\n\n{line}\n")

    with pytest.raises(ActionCLIPError, match=r"templates\.txt, line 3 is") as caught:
        read_templates(file)

    assert line in str(caught.value)
    assert "{} once" in caught.value.expected


def test_other_mistakes_with_templates(tmp_path):
    empty = tmp_path / "empty.txt"
    empty.touch()

    with pytest.raises(ActionCLIPError, match="Did you mean 'authors16'"):
        read_templates("author16")
    with pytest.raises(ActionCLIPError, match=r"Cannot read missing\.txt"):
        read_templates("missing.txt")
    with pytest.raises(ActionCLIPError, match="no template"):
        read_templates(empty)
    with pytest.raises(ActionCLIPError, match="Template 2 is 'x'"):
        read_templates(["{}", "x"])


def test_identifiers_become_words_unless_told_otherwise():
    labels = ["ApplyEyeMakeup", "playing guitar"]

    cleaned = make_prompts(labels, ["A video of {}"])
    as_given = make_prompts(labels, ["A video of {}"], clean_labels=False)

    assert cleaned.sentences == ("A video of apply eye makeup", "A video of playing guitar")
    assert as_given.sentences == ("A video of ApplyEyeMakeup", "A video of playing guitar")
    assert cleaned.labels == as_given.labels == tuple(labels)


def test_described_labels_have_their_own_sentences_and_the_others_the_templates():
    described = {
        "brush hair": ["A brush in long hair.", "Strokes through hair."],
        "surfing": ["x"],
    }

    prompts = make_prompts(["yoga", "BrushHair"], ["{}", "A video of {}"], descriptions=described)

    assert prompts.sentences == (
        "yoga",
        "A video of yoga",
        "A brush in long hair.",
        "Strokes through hair.",
    )
    assert prompts.owners == (0, 0, 1, 1)
    assert prompts.templates is None
    assert prompts.undescribed == ("yoga",)
    assert prompts.unused == ("surfing",)


def test_descriptions_of_other_labels_only_are_a_mistake():
    with pytest.raises(ActionCLIPError, match="about other labels: surfing"):
        make_prompts(["yoga"], descriptions={"surfing": ["A wave."]})


def test_descriptions_are_the_same_from_a_table_json_and_csv(tmp_path):
    table = {"yoga": ("Slow, calm moves.", "A mat."), "tai chi": ("Slow steps.",)}
    as_json, as_csv = tmp_path / "d.json", tmp_path / "d.csv"
    as_json.write_text(json.dumps({"yoga": list(table["yoga"]), "tai chi": "Slow steps."}))
    as_csv.write_text(
        'label,sentence\nyoga,"Slow, calm moves."\n\ntai chi,Slow steps.\nyoga, A mat.\n'
    )

    assert read_descriptions(table) == table
    assert read_descriptions(as_json) == table
    assert read_descriptions(as_csv) == table


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("d.json", '{"yoga": ["a"], "yoga": ["b"]}', "names 'yoga' twice"),
        ("d.json", '{"yoga": []}', "describes 'yoga' with"),
        ("d.json", '{"yoga": ["a", " "]}', "describes 'yoga' with"),
        ("d.json", '{"yoga": 3}', "describes 'yoga' with 3"),
        ("d.json", '["yoga"]', "holds a list"),
        ("d.json", "{}", "is empty"),
        ("d.json", '{"yoga":', "line 1, column 9"),
        ("d.csv", "yoga,calm\ntai chi,slow, calm\n", "line 2 has 3 columns"),
    ],
)
def test_mistakes_in_descriptions_say_where(tmp_path, name, text, message):
    file = tmp_path / name
    file.write_text(text)

    with pytest.raises(ActionCLIPError, match=message):
        read_descriptions(file)
