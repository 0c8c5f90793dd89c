"""Frames from anywhere: a simulator, a camera, another library. Here: a ball that falls.

python examples/frames_in_memory.py [MODEL]
"""

import sys

import numpy as np

import actionclip

frames = np.full((24, 120, 160, 3), 40, np.uint8)  # T, height, width, RGB
for time, frame in enumerate(frames):
    top = min(int(0.16 * time**2), 100)
    frame[top : top + 16, 72:88] = (250, 120, 30)

with actionclip.load(*sys.argv[1:2] or ["tiny"]) as model:
    for score in model.classify(frames, ["a ball falls", "a ball rises", "nothing moves"]):
        print(f"{score.score:6.1%}  {score.label}")
