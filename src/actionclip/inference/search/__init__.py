"""Searching many videos: windows of them in an index, moments of them as answers."""

from actionclip.inference.search.index import Index, IndexInfo
from actionclip.inference.search.moments import Moment
from actionclip.inference.search.windows import Span

__all__ = ["Index", "IndexInfo", "Moment", "Span"]
