"""How much is rendered and trained: from a test of the program to a graphics card.

Clips are of `FRAMES` frames of `SIZE` pixels; an arm that wants fewer frames takes every second,
fourth, ... of them, so that all see the same 1.4 seconds.
"""

from dataclasses import dataclass

from actionclip.data.synthetic.actions import ACTIONS

FRAMES, SIZE, SPACING = 16, 64, 0.09
CONTEXT = 32
"""Tokens of a sentence."""
TRAIN_SEED, TEST_SEED = 4_000, 777


@dataclass(frozen=True)
class Scale:
    """Sizes of a measurement."""

    train: int
    """Rendered clips of each action to learn from."""
    test: int
    """Other people doing each action, to test on."""
    pretrain: int
    """Steps of stage 1."""
    vit_pretrain: int
    """Steps of stage 1 of the small ViT."""
    tune: int
    """Steps of a fine-tuning."""
    twin: int
    """Steps of the four models that learn all actions."""
    vit: int
    """Steps of a fine-tuning of the small ViT."""
    head: int
    """Steps of a head on frozen towers."""
    shots: int
    """Steps of a fine-tuning on a few clips."""
    real: int
    """Steps of a fine-tuning on real clips."""
    batch: int
    """Clips in a step, at most."""

    @property
    def rendered(self) -> tuple[int, int]:
        """Clips to learn from and to test on, of all actions."""
        return self.train * len(ACTIONS), self.test * len(ACTIONS)


SCALES = {
    "test": Scale(
        train=2,
        test=1,
        pretrain=3,
        vit_pretrain=3,
        tune=3,
        twin=3,
        vit=2,
        head=3,
        shots=3,
        real=2,
        batch=12,
    ),
    "small": Scale(
        train=40,
        test=6,
        pretrain=300,
        vit_pretrain=600,
        tune=60,
        twin=100,
        vit=40,
        head=100,
        shots=30,
        real=60,
        batch=48,
    ),
    "gpu": Scale(
        train=500,
        test=40,
        pretrain=1200,
        vit_pretrain=2400,
        tune=300,
        twin=600,
        vit=200,
        head=300,
        shots=100,
        real=100,
        batch=128,
    ),
}
