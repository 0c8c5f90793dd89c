"""Frames from anywhere: a simulator, a camera, another library. Here: a rendered person.

python examples/frames_in_memory.py [MODEL]
"""

import sys

import actionclip
from actionclip.data.synthetic.clips import synthesise

frames = synthesise("jumping jacks", 1, frames=50).frames  # uint8 [T, height, width, RGB]

with actionclip.load(*sys.argv[1:2] or ["tiny"]) as model:
    for score in model.classify(frames, ["jumping jacks", "running", "standing still"]):
        print(f"{score.score:6.1%}  {score.label}")
