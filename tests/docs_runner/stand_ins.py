"""What the documents talk about and a test does not have: videos, checkpoints, large weights."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import av
import numpy as np
import torch

from actionclip.data.synthetic.clips import synthesise
from actionclip.data.synthetic.files import write_clip

VIDEOS = (
    "holiday.mp4",
    "door.mp4",
    "yard.mp4",
    "clips/beach.mp4",
    "clips/kitchen.mp4",
    "clips/park/bench.mp4",
)
"""Files that a document may name."""
SHOWN = ("jumping jacks", "waving one hand", "walking", "running", "clapping", "bending down")
"""What somebody does in each of them."""
BROKEN = "inbox/broken.mp4"
RECIPE = """
[model]
name = "tiny"
sampling = { frames = 2 }
[data]
path = "actions"
[training]
batch_size = 2
schedule = { epochs = 1, warmup_epochs = 0 }
"""


def lay_out(folder: Path) -> None:
    """Put the files that documents name into a folder."""
    for number, (name, action) in enumerate(zip(VIDEOS, SHOWN, strict=True)):
        write_person(folder / name, action, number)
    write_person(folder / "inbox" / "good.mp4", SHOWN[0], 6)
    (folder / BROKEN).write_bytes(b"this is not a video")
    (folder / "actions.txt").write_text("waving one hand\nclapping\npointing\n")
    (folder / "mine.toml").write_text(RECIPE)
    write_checkpoint(folder / "vit-16-32f.pt")
    write_data_sets(folder)


def write_data_sets(folder: Path) -> None:
    """Data sets of a few clips each, laid out as people have them."""
    for number, name in enumerate(("opening a door", "ringing a bell")):
        for clip in range(3):
            write_video(folder / "actions" / name / f"{clip}.mp4", 3 * number + clip, seconds=1.5)
        for clip in range(8):
            write_video(folder / "labelled" / name / f"{clip}.mp4", 8 * number + clip, seconds=1.0)
    for clip in range(3):
        write_video(folder / "others" / f"{clip}.mp4", 16 + clip, seconds=1.0)
    for number, name in enumerate(("Archery", "Bowling")):
        for group in (1, 2, 3):
            clip = f"UCF-101/{name}/v_{name}_g0{group}_c01.avi"
            write_video(folder / "ucf101" / clip, 3 * number + group, seconds=1.0)
    lists = folder / "ucf101" / "ucfTrainTestlist"
    lists.mkdir()
    (lists / "classInd.txt").write_text("1 Archery\n2 Bowling\n")
    for fold in (1, 2, 3):
        named = [f"{n}/v_{n}_g0{{}}_c01.avi" for n in ("Archery", "Bowling")]
        train = [
            f"{name.format(group)} {i}"
            for i, name in enumerate(named, start=1)
            for group in {1, 2, 3} - {fold}
        ]
        test = [name.format(fold) for name in named]
        (lists / f"trainlist0{fold}.txt").write_text("\n".join(train) + "\n")
        (lists / f"testlist0{fold}.txt").write_text("\n".join(test) + "\n")
    (folder / "few_shot_1.txt").write_text("v_Archery_g01_c01.avi 5\nv_Bowling_g01_c01.avi 0\n")
    for number, name in enumerate(("kick.mp4", "hug.mp4")):
        write_video(folder / "videos" / name, 5 + number, seconds=1.0)
    (folder / "train_list.txt").write_text("kick.mp4 0\nhug.mp4 1\n")
    (folder / "names.txt").write_text("kick\nhug\n")


def write_person(path: Path, action: str, seed: int) -> None:
    """Somebody who does something for two seconds, H.264, 160 x 120."""
    path.parent.mkdir(parents=True, exist_ok=True)
    clip = synthesise(action, seed, frames=24, size=(160, 120), fps=12.0, clean=True)
    write_clip(path, clip.frames, fps=12.0)


def write_video(path: Path, number: int, *, seconds: float = 2.0, rate: int = 12) -> None:
    """A bright figure that moves over a grey picture, H.264, 160 x 120."""
    path.parent.mkdir(parents=True, exist_ok=True)
    frames, shade = round(seconds * rate), number % 7
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        for time in range(frames):
            picture = np.full((120, 160, 3), 60 + 20 * shade, np.uint8)
            left = (time * (number + 1) * 4) % 130
            picture[30:90, left : left + 20] = (250, 200 - 20 * shade, 40 * shade)
            for packet in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                container.mux(packet)
        container.mux(stream.encode(None))


def write_checkpoint(path: Path, *, width: int = 64, patch: int = 16, layers: int = 2) -> None:
    """A checkpoint as the authors' training leaves it, with small towers and random weights."""
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * 0.02

    def block(prefix: str) -> dict[str, torch.Tensor]:
        shapes = {
            "attn.in_proj_weight": (3 * width, width),
            "attn.in_proj_bias": (3 * width,),
            "attn.out_proj.weight": (width, width),
            "attn.out_proj.bias": (width,),
            "mlp.c_fc.weight": (4 * width, width),
            "mlp.c_fc.bias": (4 * width,),
            "mlp.c_proj.weight": (width, 4 * width),
            "mlp.c_proj.bias": (width,),
        }
        drawn = {f"{prefix}.{name}": draw(*shape) for name, shape in shapes.items()}
        return drawn | norm(f"{prefix}.ln_1") | norm(f"{prefix}.ln_2")

    def norm(prefix: str) -> dict[str, torch.Tensor]:
        return {f"{prefix}.weight": torch.ones(width), f"{prefix}.bias": torch.zeros(width)}

    clip = {
        "positional_embedding": draw(77, width),
        "text_projection": draw(width, width),
        "logit_scale": torch.tensor(4.6052),
        "token_embedding.weight": draw(49408, width),
        "visual.class_embedding": draw(width),
        "visual.positional_embedding": draw(5, width),
        "visual.proj": draw(width, width),
        "visual.conv1.weight": draw(width, 3, patch, patch),
        **norm("ln_final"),
        **norm("visual.ln_pre"),
        **norm("visual.ln_post"),
    }
    head = {"module.frame_position_embeddings.weight": draw(77, width)}
    for i in range(layers):
        clip |= block(f"visual.transformer.resblocks.{i}") | block(f"transformer.resblocks.{i}")
    for i in range(6):
        head |= block(f"module.transformer.resblocks.{i}")
    state = {"epoch": 49, "model_state_dict": clip, "fusion_model_state_dict": head}
    torch.save(state | {"optimizer_state_dict": {}}, path)


@contextmanager
def stand_in_weights() -> Iterator[None]:
    """Models that would be downloaded are `tiny` instead; everything else is as it is."""
    from actionclip.inference import loading
    from actionclip.model.zoo.catalogue import catalogue

    real, known = loading.build, {entry.name for entry in catalogue()}

    def build(name: str, *args: object, **options: object) -> object:
        to_download = name in known or name.startswith("hf-hub:")
        return real("tiny" if to_download else name, *args, **options)

    with mock.patch.object(loading, "build", build):
        yield


@contextmanager
def stand_in_cameras() -> Iterator[None]:
    """Cameras and addresses show a file; without leave addresses are refused as ever."""
    from actionclip.inference.stream import watching
    from actionclip.video.live import sources

    real = sources.live_source

    def live_source(word: object, **options: object) -> object:
        found = real(word, **options)  # type: ignore[arg-type]
        return found if found.kind in ("file", "stdin") else real(VIDEOS[0])

    with (
        mock.patch.object(sources, "live_source", live_source),
        mock.patch.object(watching, "live_source", live_source),
    ):
        yield


@contextmanager
def offline() -> Iterator[None]:
    """No network and no weights from earlier downloads, as on a new machine without either."""
    from huggingface_hub import constants

    with (
        mock.patch.dict("os.environ", {"HF_HUB_OFFLINE": "1"}),
        mock.patch.object(constants, "HF_HUB_OFFLINE", True),
        mock.patch.object(constants, "HF_HUB_CACHE", "empty-cache"),
    ):
        yield
