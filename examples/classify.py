"""What does a video show? A few labels, one answer.

python examples/classify.py holiday.mp4 "jumping jacks, running" [MODEL]
"""

import sys

import actionclip

video, labels, *rest = sys.argv[1:]
with actionclip.load(rest[0] if rest else "tiny") as model:
    for score in model.classify(video, labels):
        print(f"{score.score:6.1%}  {score.label}")
