"""What the file names of known data sets say: the class, and the recording a clip was cut from.

UCF101 cuts several clips of a class from one video (`v_Archery_g08_c03`: group 08), HMDB51 from one
film (`Faith_Rewarded_run_f_cm_np1_le_med_16`), and Kinetics names a clip by its YouTube video
(`-3B32lodo2M_000059_000069`). Clips of one recording look alike: a test with clips whose recording
was trained on measures memory.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath

from actionclip.data import label_sets
from actionclip.video.sources import VIDEO_SUFFIXES

UCF = re.compile(r"v_(?P<label>[A-Za-z]+)_(?P<group>g\d+)_c\d+")
HMDB = re.compile(r"(?P<start>.+)_[fhlu]_[cn]m_np\d+_(?:ba|fr|le|ri)_(?:bad|goo|med)_\d+")
KINETICS = re.compile(r"(?P<video>[\w-]{11})_(?P<start>\d{6})_(?P<end>\d{6})")


@dataclass(frozen=True)
class Said:
    """What a name says; empty where it says nothing."""

    label: str = ""
    group: str = ""


def loose(label: str) -> str:
    """What spellings of a label have in common, whatever their capitals and separators.

    >>> loose("HandstandPushups") == loose("HandStandPushups") == loose("handstand pushups")
    True
    """
    return re.sub(r"[\W_]+", "", label).casefold() or label


def stem(path: str) -> str:
    """The last part of a path without a video's suffix.

    >>> stem("a/v_Archery_g08_c03.avi"), stem("a/frames.v2")
    ('v_Archery_g08_c03', 'frames.v2')
    """
    name = PurePosixPath(with_slashes(path))
    return name.stem if name.suffix.lower() in VIDEO_SUFFIXES else name.name


def with_slashes(path: str) -> str:
    r"""A path as it is written here, where a list was made on Windows.

    >>> print(with_slashes(r"D:\clips\a.mp4"), with_slashes(r"clips/a\b.mp4"))
    D:/clips/a.mp4 clips/a\b.mp4
    """
    return path if "/" in path else path.replace("\\", "/")


def said_by(path: str) -> Said:
    """What the name of a clip says.

    >>> said_by("x/v_Archery_g08_c03.avi")
    Said(label='Archery', group='Archery/g08')
    >>> said_by("Speech_Day_2009_shake_hands_f_cm_np2_le_med_2.avi")
    Said(label='shake_hands', group='shake_hands/Speech_Day_2009')
    >>> said_by("-3B32lodo2M_000059_000069.mp4").group
    '-3B32lodo2M'
    """
    name = stem(path)
    if found := UCF.fullmatch(name):
        return Said(found["label"], f"{found['label']}/{found['group']}")
    if found := KINETICS.fullmatch(name):
        return Said(group=found["video"])
    if found := HMDB.fullmatch(name):
        for label in _longest_first():
            if found["start"].endswith(f"_{label}"):
                return Said(label, f"{label}/{found['start'].removesuffix(f'_{label}')}")
    return Said()


@cache
def _longest_first() -> tuple[str, ...]:
    return tuple(sorted(label_sets.load("hmdb51"), key=len, reverse=True))


def match(labels: Iterable[str], classes: Iterable[str]) -> dict[str, str | None]:
    """For each label the class of the same name, or None; capitals and separators do not count.

    Where only these tell classes apart, a label has to be spelt as its class is.

    >>> match(["kick ball", "fly"], ["kick", "kick_ball"])
    {'kick ball': 'kick_ball', 'fly': None}
    >>> match(["step -1", "step 1"], ["step +1", "step -1"])
    {'step -1': 'step -1', 'step 1': None}
    """
    find = matcher(classes)
    return {label: find(label) for label in labels}


def matcher(classes: Iterable[str]) -> Callable[[str], str | None]:
    """What `match` says of one label after the other: for long lists."""
    exact = set(classes := tuple(classes))
    alike = Counter(loose(name) for name in exact)
    known = {loose(name): name for name in classes if alike[loose(name)] == 1}
    return lambda label: label if label in exact else known.get(loose(label))
