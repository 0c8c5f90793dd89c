"""Small copies of the field's data sets as they lie on disk, made of rendered clips."""

import json
import shutil

from actionclip.data import label_sets
from actionclip.data.synthetic.clips import synthesise
from actionclip.data.synthetic.files import write_clip

EACH = 2
"""Training clips of a class; there is one more to test on."""


def render_clips(folder):
    """Four short videos, to be copied under the names that a data set has."""
    clips = []
    for number, action in enumerate(("walking", "running", "bending down", "waving one hand")):
        clips.append(folder / f"{number}.mp4")
        frames = synthesise(action, number, frames=8, size=(48, 36), fps=8.0).frames
        write_clip(clips[-1], frames, fps=8.0)
    return clips


def _put(clip, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(clip, path)


def _write(path, *lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def lay_kinetics(folder, clips, classes=("abseiling", "air drumming", "archery", "arm wrestling")):
    """Two CSV files, and videos called YOUTUBE-ID_START_END."""
    header = "label,youtube_id,time_start,time_end,split"
    rows = {"train": [], "validate": []}
    for place, (name, clip) in enumerate(zip(classes, clips, strict=True)):
        for number in range(EACH + 1):
            split = "train" if number < EACH else "validate"
            video = f"{place:05d}_{number:05d}"
            _put(clip, folder / split / name / f"{video}_000000_000010.mp4")
            rows[split].append(f'"{name}",{video},0,10,{split}')
    _write(folder / "kinetics_train.csv", header, *rows["train"])
    _write(folder / "kinetics_val.csv", header, *rows["validate"])


def lay_kinetics600(folder, clips):
    """Of each class that Kinetics-400 has not a clip to test on; most videos have got lost."""
    sets = [label_sets.load(f"kinetics600_zero_shot_split{number}") for number in (1, 2, 3)]
    names = sorted({name for each in sets for name in each})
    lay_kinetics(folder, clips, names[:4])
    with (folder / "kinetics_val.csv").open("a") as file:
        file.writelines(
            f'"{name}",lost_{number:06d},0,10,validate\n' for number, name in enumerate(names[4:])
        )


def lay_ucf101(
    folder, clips, classes=("ApplyEyeMakeup", "Archery", "BabyCrawling", "BandMarching")
):
    """A folder for each class, three official splits with names and numbers."""
    lists = folder / "ucfTrainTestlist"
    _write(lists / "classInd.txt", *(f"{i} {name}" for i, name in enumerate(classes, start=1)))
    train, test = [], []
    for place, (name, clip) in enumerate(zip(classes, clips, strict=True), start=1):
        for group in range(1, EACH + 2):
            video = f"{name}/v_{name}_g{group:02d}_c01.avi"
            _put(clip, folder / "UCF-101" / video)
            if group > 1:
                train.append(f"{video} {place}")
            else:
                test.append(video)
    for fold in (1, 2, 3):
        _write(lists / f"trainlist0{fold}.txt", *train)
        _write(lists / f"testlist0{fold}.txt", *test)


def lay_hmdb51(folder, clips, classes=("brush_hair", "cartwheel", "catch", "chew")):
    """A list for each class and split: 1 to train, 2 to test, 0 unused."""
    for name, clip in zip(classes, clips, strict=True):
        videos = [f"Film{number}_{name}_f_cm_np1_le_med_0.avi" for number in range(EACH + 2)]
        for video in videos:
            _put(clip, folder / "videos" / name / video)
        for fold in (1, 2, 3):
            kinds = [1] * EACH + [2, 0]
            lines = [f"{video} {kind} " for video, kind in zip(videos, kinds, strict=True)]
            _write(folder / "testTrainMulti_7030_splits" / f"{name}_test_split{fold}.txt", *lines)


def lay_ssv2(folder, clips):
    """JSON files with templates; the official test clips have no label."""
    names = ("Closing something", "Folding something", "Moving something up", "Holding something")
    entries = {"train": [], "validation": [], "test": [{"id": "9999"}]}
    for place, (name, clip) in enumerate(zip(names, clips, strict=True)):
        for number in range(EACH + 1):
            video = str(100 * place + number)
            _put(clip, folder / "20bn-something-something-v2" / f"{video}.webm")
            template = name.replace("something", "[something]")
            entry = {"id": video, "label": name, "template": template, "placeholders": ["a box"]}
            entries["train" if number < EACH else "validation"].append(entry)
    _put(clips[0], folder / "20bn-something-something-v2" / "9999.webm")
    labels = {name: str(place) for place, name in enumerate(names)}
    for name, data in {"labels": labels, **entries}.items():
        _write(folder / f"something-something-v2-{name}.json", json.dumps(data))


def lay_charades(folder, clips):
    """Codes for actions, several in each video, with times; some videos have none."""
    names = ("Holding some clothes", "Putting clothes somewhere", "Opening a door", "Sitting down")
    _write(folder / "Charades_v1_classes.txt", *(f"c{i:03d} {n}" for i, n in enumerate(names)))
    for split, count in (("train", 4 * EACH), ("test", 4)):
        lines = []
        for number in range(count):
            video, first = f"{split[0].upper()}{number:04d}", number % 4
            _put(clips[first], folder / "Charades_v1_480" / f"{video}.mp4")
            actions = f"c{first:03d} 0.00 0.60;c{(first + 1) % 4:03d} 0.20 1.00"
            lines.append(f'{video},"A person, somewhere.",{actions}')
        _put(clips[0], folder / "Charades_v1_480" / f"{split[0].upper()}NONE.mp4")
        lines.append(f'{split[0].upper()}NONE,"Nothing.",')
        _write(folder / f"Charades_v1_{split}.csv", "id,script,actions", *lines)


LAID = {
    "kinetics400": lay_kinetics,
    "kinetics600": lay_kinetics600,
    "ucf101": lay_ucf101,
    "hmdb51": lay_hmdb51,
    "ssv2": lay_ssv2,
    "charades": lay_charades,
}
"""By the name of the folder in the recipes."""
