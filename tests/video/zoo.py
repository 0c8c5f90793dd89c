"""A zoo of bad and odd videos, made by hand. Each says how reading it has to end."""

import zoo_files
import zoo_videos
from zoo_keeper import ZOO

__all__ = ["ZOO", "zoo_files", "zoo_videos"]
