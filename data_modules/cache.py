"""Folder of what can be made again: unpacked benchmarks, features, indexes."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Folder of benchmarks and features: $SKETCHCLIP_CACHE, else the user's cache folder."""
    chosen = os.environ.get("SKETCHCLIP_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "sketchclip"
