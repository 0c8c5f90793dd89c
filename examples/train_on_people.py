"""Trains the small model on rendered people for a few steps; run it again and it goes on.

    python examples/train_on_people.py run

The folder `run` then holds the model, the state to go on from, and a line for every tenth step.
"""

import sys

import torch

import actionclip
from actionclip.data.synthetic.clips import stream
from actionclip.training import Example, OptimConfig, ScheduleConfig, TrainConfig, train


class People:
    """Four actions; the same index and epoch always give the same clip."""

    labels = ("waving one hand", "jumping jacks", "bending down", "running")

    def __len__(self) -> int:
        return 16

    def __getitem__(self, key: tuple[int, int]) -> Example:
        index, epoch = key
        label = index % len(self.labels)
        clip = stream(0, epoch, index, size=(80, 80), actions=[self.labels[label]])
        return Example(torch.from_numpy(clip.frames).permute(0, 3, 1, 2), label)


config = TrainConfig(
    batch_size=8,
    optim=OptimConfig(lr=1e-4),
    schedule=ScheduleConfig(epochs=2, warmup_epochs=1),
)
model = actionclip.load("tiny").model
result = train(config, model, People(), sys.argv[1])
print(f"{result.steps} steps; the model is in {result.folder}/last")
