"""Which videos of a folder resemble a video, or a sentence?

python examples/similar_videos.py clips holiday.mp4 [MODEL]
python examples/similar_videos.py clips "a person is clapping" [MODEL]
"""

import sys
from pathlib import Path

import actionclip
from actionclip.video.sources import find_videos

folder, query, *rest = sys.argv[1:]
with actionclip.load(rest[0] if rest else "tiny") as model:
    wanted = model.embed_video(query) if Path(query).exists() else model.embed_text(query)[0]
    sources = find_videos([folder])
    similarity = model.embed_video(sources) @ wanted
    for place in similarity.argsort(descending=True).tolist():
        print(f"{similarity[place]:.3f}  {sources[place].name}")
