"""A process that writes to an index until it is killed; says on stdout what is acknowledged.

python writer.py add INDEX FOLDER       adds the folder, one commit for every few windows
python writer.py compact INDEX FOLDER   the same, and puts pieces together and builds an
                                        approximate index again and again
"""

import json
import sys

from actionclip.inference.search import Index
from actionclip.inference.search import store as storage
from actionclip.inference.search.changes import run
from inference.search.stub import StubEmbedder


def tell(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def main():
    what, place, folder = sys.argv[1:]
    run.BATCH, run.AT_ONCE = 8, 3
    storage.APPROXIMATE_FROM, storage.PARTITION = 10**9, 64
    index = Index(place, StubEmbedder())
    tell(ready=True)
    index.add(folder, report=lambda line: tell(source=line.source, change=line.change))
    tell(added=True)
    while what == "compact":
        tell(compacting=True)
        index.tidy(reindex=True)
        tell(compacted=True)


if __name__ == "__main__":
    main()
