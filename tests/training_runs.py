"""What the tests of training share: a small model to train, and processes that train it."""

import hashlib
import json
import os
import socket
import time

import torch

import forked
from actionclip.model.actionclip import ActionCLIP
from actionclip.model.backbone import OpenClipBackbone
from actionclip.model.config import BackboneConfig, ModelConfig, PromptConfig
from actionclip.training import Example, OptimConfig, ScheduleConfig, TrainConfig, train
from actionclip.training.ranks import Ranks
from actionclip.training.run.batches import Batches, Texts
from actionclip.video.settings import Preprocess, Sampling
from forked import SERVER

ARCHITECTURE = {
    "embed_dim": 16,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 8,
        "heads": 1,
        "layers": 1,
    },
}

CONVOLUTIONAL = {
    "image_size": 16,
    "timm_model_name": "actionclip_tiny",
    "timm_pool": "avg",
    "timm_proj": "linear",
}
"""An image tower like that of `tiny`, for `small_model`."""


def small_model(seed=0, frames=2, vision=None, **prompts):
    """A model of one block in each tower; the same seed gives the same weights."""
    architecture = ARCHITECTURE if vision is None else {**ARCHITECTURE, "vision_cfg": vision}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ActionCLIP(
            OpenClipBackbone.from_architecture(architecture),
            ModelConfig(
                backbone=BackboneConfig(name="small", architecture=architecture, licence="MIT"),
                prompts=PromptConfig(**prompts),
                sampling=Sampling(frames=frames),
                preprocess=Preprocess(size=16),
                templates=("a video of {}", "{}, an action"),
            ),
        )


def first_batch(model, settings, source=None):
    """The batch of the first step."""
    source = source or Colours()
    texts = Texts(model, source.labels, settings)
    return next(Batches(source, texts, settings, Ranks()).epoch(0))


def _as_rank(rank, world, port, function, queue, arguments):
    torch.set_num_threads(1)
    os.environ.update(
        RANK=str(rank),
        LOCAL_RANK=str(rank),
        WORLD_SIZE=str(world),
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    queue.put((rank, function(*arguments)))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def on_ranks(world, function, *arguments, killed=0):
    """What a function of a module returns in each of some processes, as torchrun would set them.

    The last ones may be killed, and answer nothing.
    """
    queue, port = SERVER.Queue(), free_port()
    processes = [
        SERVER.Process(target=_as_rank, args=(rank, world, port, function, queue, arguments))
        for rank in range(world)
    ]
    for process in processes:
        process.start()
    try:
        answers = dict(queue.get(timeout=120) for _ in processes[killed:])
        for process in processes:
            process.join(60)
    finally:
        for process in processes:
            process.kill()
            process.join()
    return [answers[rank] for rank in range(world - killed)]


def torchrun(*words):
    """`torchrun` on this machine; it and the processes that it starts have imported torch."""
    standing = ("--standalone", "--start-method=fork", "--run-path")
    return forked.run(*standing, *words, program="torch.distributed.run")


SETTINGS = TrainConfig(
    optim=OptimConfig(lr=1e-3),
    schedule=ScheduleConfig(epochs=3, warmup_epochs=1),
    batch_size=4,
    log_every=1,
    save_every=2,
)
"""Three epochs of five steps on `Colours()`."""


class Colours:
    """Videos of one colour for each label, with noise that depends on index and epoch."""

    labels = ("red", "green", "blue")

    def __init__(self, clips=22, frames=2, poison=(), several=False, pause=0.0):
        self.clips, self.frames, self.poison, self.several = clips, frames, poison, several
        self.pause = pause

    def __len__(self):
        return self.clips

    def __getitem__(self, key):
        index, epoch = key
        time.sleep(self.pause)
        generator = torch.Generator().manual_seed(1000 * epoch + index)
        label = index % 3
        if (index, epoch) in self.poison:
            return Example(torch.full((self.frames, 3, 16, 16), torch.nan), label)
        frames = torch.randint(0, 64, (self.frames, 3, 16, 16), generator=generator)
        frames[:, label] += 128
        if self.several:
            return Example(frames.to(torch.uint8), torch.eye(3)[label] + torch.eye(3)[index % 2])
        return Example(frames.to(torch.uint8), label)


def dropping_model(seed=0):
    """A small model that draws random numbers when it is trained, as `transf_cls` does."""
    model = small_model(seed)
    model.post = torch.nn.Sequential(torch.nn.Dropout(0.2), model.post)
    return model


def fingerprint(model):
    """Equal for weights that are equal to the bit."""
    digest = hashlib.sha256()
    for name, value in sorted(model.state_dict().items()):
        digest.update(name.encode() + value.contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def run(folder, settings=SETTINGS, source=None, model=None, **more):
    """Train from the start or go on; the fingerprint of the weights and what `train` returned."""
    model = dropping_model() if model is None else model
    result = train(settings, model, Colours() if source is None else source, folder, **more)
    return fingerprint(model), result


def metrics(folder, key="loss"):
    """What metrics.jsonl says of each step, by step; a step twice is an error."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    found = [(line["step"], line[key]) for line in lines if key in line]
    assert len(dict(found)) == len(found), "a step is there twice"
    return dict(found)


def run_in_process(folder, pause=0.0, settings=SETTINGS):
    """A run in a process of its own, slowed down so that there is time to end it."""
    torch.set_num_threads(1)
    run(folder, settings, Colours(pause=pause))
