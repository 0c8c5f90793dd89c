"""Subtitles and CSV, read again by rules of their own."""

import csv
import html
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from timelines import timeline_of

from actionclip.inference.timeline.segments import Segment
from actionclip.inference.timeline.text import (
    COLUMNS,
    one_line,
    short_clock,
    to_csv,
    to_srt,
    to_vtt,
)

NASTY = [
    "<script>alert(1)</script>",
    "a --> b",
    "a ---> b",
    "{\\an8}top",
    "two\nlines",
    "&amp;",
    """a "b", c's""",
    "→",
]


LETTERS = st.characters(exclude_categories=("Cs", "Cc"))
milliseconds = st.integers(0, 10**8)


@st.composite
def segments(draw):
    start, length = draw(milliseconds), draw(st.integers(1, 10**6))
    label = draw(st.one_of(st.sampled_from(NASTY), st.text(LETTERS, min_size=1, max_size=20)))
    score = draw(st.integers(0, 100)) / 100
    return Segment(start / 1000, (start + length) / 1000, label, score)


TIME = r"(\d\d+):(\d\d):(\d\d)[.,](\d\d\d)"


def cues(text):
    """Start, end and text of each cue, as a player would read them."""
    found = []
    for block in re.split(r"\n\n+", text.strip()):
        lines = block.split("\n")
        place = next((n for n, line in enumerate(lines) if "-->" in line), None)
        if place is None:
            continue
        times = re.fullmatch(f"{TIME} --> {TIME}", lines[place])
        h1, m1, s1, t1, h2, m2, s2, t2 = map(int, times.groups())
        start, end = (h1 * 60 + m1) * 60 + s1 + t1 / 1000, (h2 * 60 + m2) * 60 + s2 + t2 / 1000
        found.append((start, end, "\n".join(lines[place + 1 :])))
    return found


def expected(made, text):
    return [
        (pytest.approx(s.start, abs=6e-4), pytest.approx(s.end, abs=6e-4), text(s))
        for s in made.segments
    ]


@given(st.lists(segments(), max_size=6))
def test_webvtt_says_what_was_found(given_segments):
    made = timeline_of(given_segments)
    text = to_vtt(made)

    assert text.startswith("WEBVTT\n")
    read = [(start, end, html.unescape(words)) for start, end, words in cues(text)]
    assert read == expected(made, lambda s: f"{one_line(s.label)} ({s.score:.0%})")
    assert "<" not in text.replace("-->", "")
    # Many players know these three only.
    assert set(re.findall(r"&[^;]*;?", text)) <= {"&amp;", "&lt;", "&gt;"}


@given(st.lists(segments(), max_size=6))
def test_subrip_says_what_was_found_and_formats_nothing(given_segments):
    made = timeline_of(given_segments)
    text = to_srt(made)

    read = [(start, end, words.replace("\N{WORD JOINER}", "")) for start, end, words in cues(text)]
    plain = [one_line(s.label).replace("\N{WORD JOINER}", "") for s in made.segments]
    assert [words for *_, words in read] == [
        f"{label} ({s.score:.0%})" for label, s in zip(plain, made.segments, strict=True)
    ]
    assert not re.search(r"<[a-zA-Z/]|\{\\", text)
    assert text.count("-->") == len(made.segments)
    numbers = [int(block.split("\n")[0]) for block in text.split("\n\n") if block.strip()]
    assert numbers == list(range(1, len(made.segments) + 1))


@given(st.lists(segments(), max_size=6))
def test_csv_says_what_was_found(given_segments):
    made = timeline_of(given_segments, source='odd, "name".mp4')

    heading, *rows = csv.reader(io.StringIO(to_csv(made), newline=""))

    assert tuple(heading) == COLUMNS
    assert [(float(a), float(b), label, float(score)) for _, a, b, label, score in rows] == [
        (s.start, s.end, s.label, s.score) for s in made.segments
    ]
    assert all(row[0] == made.source for row in rows)


FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
JOINED = [f"{FAMILY} plays", "\u0645\u06cc\u200c\u0631\u0648", "e\u0301te\u0301", "\u2764\ufe0f"]
MOVING = "\0\x1b\x85\u2028\u2029\u200e\u200f\u202a\u202e\u2066\u2069\ufeff\udce9"


@pytest.mark.parametrize("label", JOINED)
def test_emoji_and_words_with_joiners_stay_what_they_are(label):
    made = timeline_of([Segment(0, 1, label, 0.5)])

    for text in (to_srt(made), to_vtt(made)):
        assert f"{label} (50%)" in text
    assert one_line(label) == label


@pytest.mark.parametrize("character", MOVING)
def test_what_would_move_or_turn_other_text_is_a_space(character):
    assert one_line(f"a{character}b") == "a b"


def test_clocks_roll_over():
    assert short_clock(59.96) == "1:00.0"
    assert short_clock(3599.99) == "1:00:00.0"
