"""Entries of a folder, without what is hidden or what systems and network drives leave behind."""

import os
import re
from pathlib import Path

LEFT_BEHIND = frozenset(
    {
        *("__macosx", "icon\r", "network trash folder", "temporary items"),
        *("thevolumesettingsfolder", "thefindbyfolder", "desktop db", "desktop df"),
        *("thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "desktop.ini"),
        *("$recycle.bin", "system volume information", "$winreagent", "$sysreset", "lost.dir"),
        *("lost+found", "__pycache__", "backups.backupdb"),
        *("@eadir", "@tmp", "@sharesnap", "@recycle", "@recently-snapshot", "@transcode"),
        *("#recycle", "#snapshot", "~snapshot", "recycler", "_gsdata_"),
    }
)
"""Lower-case names of files and folders that operating systems and network drives make.

Only names that no class or photo has: ``recycle`` is a class.
"""

ARCHIVES = frozenset({".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar"})
"""Endings of files that hold folders, in lower case."""

_LEFT_BEHIND = re.compile(
    r"~\$.*|~wrl\d+\.tmp.*|found\.\d{3}|thumbs\.db:.*|syno(file|photo)_thumb_.*"
)
"""The same with varying names: Office's own files, those of a repaired disk, thumbnails."""


def is_hidden(name: str) -> bool:
    """Whether a name is passed over everywhere: hidden by a dot, or left behind by a system.

    >>> [is_hidden(name) for name in (".DS_Store", "._1.jpg", "@eaDir", "_DSC0001.jpg", "recycle")]
    [True, True, True, False, False]
    """
    if name.startswith("."):
        return True
    lower = name.lower()
    return lower in LEFT_BEHIND or _LEFT_BEHIND.fullmatch(lower) is not None


def visible_entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """Entries of a folder by name; OSError if it cannot be read."""
    with os.scandir(folder) as entries:
        kept = [entry for entry in entries if not is_hidden(entry.name)]
    return sorted(kept, key=lambda entry: entry.name)


def visible_names(folder: str | os.PathLike[str]) -> list[str]:
    """Names of :func:`visible_entries`."""
    return [entry.name for entry in visible_entries(folder)]


def no_folder(path: Path) -> str:
    """Why a path is no folder, in words that follow its name."""
    if not path.exists():
        return "is a link to what is missing" if path.is_symlink() else "does not exist"
    archive = ending(path.name) in ARCHIVES
    return "is a file: unpack it and name the folder" if archive else "is a file"


def ending(name: str) -> str:
    """Lower-case ending of a file's name with its dot; cheaper than os.path's for many files."""
    return "." + name.rpartition(".")[2].lower()
