"""A live source whose frames and notices are taken as soon as they come."""

import time

from clips import picture

from actionclip.video.live.feed import Feed
from actionclip.video.live.queue import End, LiveFrame
from actionclip.video.live.sources import LiveSettings, LiveSource, live_source
from live_server import broadcast

PATIENT = 60.0
"""Seconds a test waits on a machine that does other things, too."""


def numbered(frames, **options):
    """A stream whose pictures say their number."""
    width, height = options.get("size", (96, 64))
    return broadcast(frames, show=lambda i: picture(i, width, height), **options)


class Watching:
    """A feed whose items are kept, taken as soon as they come."""

    def __init__(self, source, *, spacing=0.2, resize=None, limits=None, **settings):
        settings = LiveSettings(**{"queue": 10_000, "first_wait": 0.1, **settings})
        if not isinstance(source, LiveSource):
            source = live_source(source, allow_network=True)
        self.feed = Feed(source, spacing=spacing, resize=resize, settings=settings, limits=limits)
        self.items = []

    def __enter__(self):
        self.feed.start()
        return self

    def __exit__(self, *_):
        self.feed.close()

    def until(self, enough, seconds=PATIENT):
        """Take items until `enough()`, or the end. Several may come at a time: ask for `>=`."""
        last = time.monotonic() + seconds
        while not enough():
            assert time.monotonic() < last, f"not enough in {seconds:.0f} seconds: {self.items}"
            self.items += self.feed.queue.take(0.1)
            if self.of(End):
                break
        return self

    def all(self):
        return self.until(lambda: False)

    def of(self, kind):
        return [item for item in self.items if isinstance(item, kind)]

    @property
    def frames(self):
        return self.of(LiveFrame)

    @property
    def error(self):
        return self.of(End)[0].error
