"""A folder of any size: results as they come, bad files among them, memory flat.

python examples/many_videos.py clips "jumping jacks, running" [MODEL]
"""

import sys

import actionclip
from actionclip.video.sources import find_videos

folder, labels, *rest = sys.argv[1:]
with actionclip.load(rest[0] if rest else "tiny") as model:
    question = model.question(labels, reject=["nothing happens"])
    for result in model.results(find_videos([folder]), question, top_k=1):
        if result.status.usable:
            print(f"{result.source}\t{result.scores[0].label}\t{result.scores[0].score:.3f}")
        else:
            print(f"{result.source}\t{result.status}: {result.message}", file=sys.stderr)
