"""Entries of a folder, without what is hidden or what systems and network drives leave behind."""

import os

LEFT_BEHIND = frozenset(
    {
        *("__macosx", "thumbs.db", "desktop.ini", "ehthumbs.db", "$recycle.bin"),
        *("system volume information", "lost+found", "@eadir", "#recycle", "#snapshot"),
        "@recycle",
    }
)
"""Lower-case names of files and folders that operating systems and network drives make."""


def is_hidden(name: str) -> bool:
    """Whether a name is passed over everywhere: hidden by a dot, or left behind by a system.

    >>> [is_hidden(name) for name in (".DS_Store", "._1.jpg", "@eaDir", "_DSC0001.jpg")]
    [True, True, True, False]
    """
    return name.startswith(".") or name.lower() in LEFT_BEHIND


def visible_entries(folder: str | os.PathLike[str]) -> list[os.DirEntry[str]]:
    """Entries of a folder by name; OSError if it cannot be read."""
    with os.scandir(folder) as entries:
        kept = [entry for entry in entries if not is_hidden(entry.name)]
    return sorted(kept, key=lambda entry: entry.name)


def ending(name: str) -> str:
    """Lower-case ending of a file's name with its dot; cheaper than os.path's for many files."""
    return "." + name.rpartition(".")[2].lower()
