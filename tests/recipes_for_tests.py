"""What the tests of recipes share: rendered clips on disk, and towers of two layers."""

import csv
import json

from actionclip.data.synthetic.dataset import Recipe as Rendered
from actionclip.data.synthetic.dataset import write_dataset

ACTIONS = ("walking", "running", "waving one hand")

ARCHITECTURE = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "patch_size": 16, "width": 16, "layers": 2, "head_width": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 2},
}

TWO_LAYERS = (
    "model.architecture={embed_dim=16, quick_gelu=true, "
    "vision_cfg={image_size=32, patch_size=16, width=16, layers=2, head_width=8}, "
    "text_cfg={context_length=77, vocab_size=49408, width=8, heads=1, layers=2}}"
)
"""What `--set` makes of any recipe: towers that train in milliseconds."""


def render_people(folder, clips=12, actions=ACTIONS):
    """Clips of half a second, and their manifest; every one is in the split train."""
    recipe = Rendered(actions=actions, width=64, height=48, seconds=0.8, fps=10, seed=3)
    return write_dataset(folder, recipe, clips).manifest


def write_recipe(path, **tables):
    """A recipe of tables (and of texts for the top of the file)."""

    def value(item):
        if isinstance(item, dict):
            return "{" + ", ".join(f"{key} = {value(each)}" for key, each in item.items()) + "}"
        return json.dumps(item)

    lines = [f"{key} = {value(item)}" for key, item in tables.items() if not isinstance(item, dict)]
    for name, table in tables.items():
        if isinstance(table, dict):
            lines += [f"\n[{name}]", *(f"{key} = {value(each)}" for key, each in table.items())]
    path.write_text("\n".join(lines) + "\n")
    return path


def small_recipe(path, clips, **more):
    """A recipe that trains towers of two layers on some data for three epochs."""
    tables = {
        "model": {"architecture": ARCHITECTURE, "sampling": {"frames": 2}},
        "data": {"path": str(clips), "decoders": 1},
        "training": {
            "batch_size": 4,
            "log_every": 1,
            "save_every": 2,
            "optim": {"lr": 1e-3},
            "schedule": {"epochs": 3, "warmup_epochs": 1},
        },
    }
    for name, table in more.items():
        tables[name] = {**tables.get(name, {}), **table} if isinstance(table, dict) else table
    top = {key: value for key, value in tables.items() if not isinstance(value, dict)}
    return write_recipe(path, **top, **{k: v for k, v in tables.items() if k not in top})


def failures_in(folder):
    """The rows of all lists of failures in a run folder."""
    rows = []
    for path in sorted(folder.glob("failures*.csv")):
        with path.open(newline="") as file:
            rows += list(csv.DictReader(file))
    return rows
