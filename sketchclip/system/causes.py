"""What the system and libraries raise for a user's input or machine, as one message each.

:func:`explain` knows errors by their number, class name or text, so that nothing heavy is imported.
What it does not know is a defect, and keeps its traceback.
"""

import errno
import os
import re
from collections.abc import Callable
from pathlib import Path

from sketchclip.errors import first_line, own_cause
from sketchclip.system import options
from sketchclip.system.packages import account, missing_package
from sketchclip.system.tracebacks import causes, frames, raised_in

_PACKAGE = Path(__file__).parents[1]

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_CLOSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_HANDLES = {errno.EMFILE, errno.ENFILE}
_GONE = {
    getattr(errno, name)
    for name in "EIO ESTALE ENODEV ENXIO ENOTCONN EHOSTDOWN EHOSTUNREACH ETIMEDOUT".split()
    if hasattr(errno, name)
}
_PLACES = {
    errno.ENAMETOOLONG: "its name is too long for the file system: choose a shorter one",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EISDIR: "it is a folder, and a file was expected",
    errno.ELOOP: "its links lead in a circle: remove one of them",
    errno.EEXIST: "it exists already: remove it, or name another place",
    errno.ENOTEMPTY: "the folder is not empty: name another one",
    errno.EXDEV: "it lies on two disks",
    errno.EBUSY: "it is in use by another program",
    errno.ETXTBSY: "it is in use by another program",
}
# OSErrors of processes that read arrive as text; LanceDB's, from Rust, do so always.
_NUMBER = re.compile(r"\[Errno (\d+)\] [^\n:]*(?:: '([^'\n]*)')?|\(os error (\d+)\)")
_SHARED = re.compile(
    r"shared memory|shm_open|DataLoader worker.*exited unexpectedly|</torch_\d|bus error",
    re.I,
)
_HANDLE_TEXT = re.compile(r"too many open files|items of ancdata", re.I)
_PROCESS_TEXT = re.compile(r"can't start new thread|Resource temporarily unavailable")
_MEMORY = re.compile(
    r"out of memory|can't allocate memory|cannot allocate memory|not enough memory|ALLOC_FAILED|"
    r"killed by signal: Killed|bad_alloc|failed to map segment",
    re.I,
)
_DISK = re.compile(
    r"PytorchStreamWriter failed|file write failed|unexpected pos \d+|disk is full|"
    r"No space left on device|disk quota exceeded",
    re.I,
)
_DEVICE = re.compile(
    r"not compiled with CUDA|no NVIDIA driver|No CUDA GPUs|invalid device|no kernel image|"
    r"driver version is insufficient|CUDA-capable device|MPS backend is not",
    re.I,
)


def explain(error: BaseException, command: str = "") -> str | None:
    """Message for a user behind an error; None if it is a defect.

    Args:
        error: What a command raised.
        command: Its name, which decides what options the message names.
    """
    if own := own_cause(error):
        return options.spelled(own, command)
    for cause in causes(error):
        for recognise in _RECOGNISERS:
            if message := recognise(cause, command):
                return message
    return None


def _path_of(error: BaseException) -> str:
    """Path that an error is about; a full disk does not say whose, but an open file is near."""
    if isinstance(error, OSError) and isinstance(error.filename, (str, bytes, os.PathLike)):
        return os.fsdecode(error.filename)
    for frame in frames(error):
        values = [*frame.f_locals.values()]
        for value in values:
            if hasattr(value, "write"):
                name = getattr(value, "name", None) or getattr(value, "filename", None)
                if isinstance(name, (str, Path)) and not str(name).startswith("<"):
                    return str(name)
        for value in values:
            if isinstance(value, Path):
                return str(value)
    return ""


def _words(error: BaseException) -> str:
    """What an error says, without the name of a file, which may be any words."""
    told = error.strerror if isinstance(error, OSError) else None
    return told if isinstance(told, str) else str(error)


def _system(error: BaseException, command: str) -> str | None:
    """Errors of the file system and of resources, by their number."""
    number, path = error.errno if isinstance(error, OSError) else None, _path_of(error)
    told = _NUMBER.search(str(error))
    if number is None and told and (isinstance(error, OSError) or told[3]):
        number, path = int(told[1] or told[3]), told[2] or path
    if number is None:
        return None
    what = _of(path)
    if number in _FULL:
        return _full(path, command)
    if number in _HANDLES:
        return _handles(command)
    if number in _CLOSED:
        return _closed(number, path, command)
    if number in _GONE:
        return (
            f"The drive {what} does not answer ({os.strerror(number)}). See whether it is "
            "connected and mounted, and repeat the command."
        )
    if number == errno.ENOMEM:
        return _memory_of_host(command)
    if number in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
        return f"Cannot listen there ({os.strerror(number)}). Name another --port or --host."
    if number == errno.ENOENT and _is_nowhere():
        return "The current folder was removed. Change into another one, and repeat the command."
    if number == errno.ENOENT and path and not _is_inside_package(path):
        link = " It is a link to a missing file." if os.path.islink(path) else ""
        return f"{path} does not exist.{link} It was removed meanwhile, or its name is another."
    if number in _PLACES and path:
        return f"Cannot use {path}: {_PLACES[number]}."
    return None


def _is_nowhere() -> bool:
    try:
        os.getcwd()
    except OSError:
        return True
    return False


def _of(path: str) -> str:
    return f"of {path}" if path else "or terminal"


def _full(path: str, command: str) -> str:
    where = f"of {path}" if path else "that was written to"
    return (
        f"No space left on the disk {where}, or a quota or the largest size of a file is reached. "
        f"Free some, or {options.place(command, path)}."
    )


def _closed(number: int, path: str, command: str) -> str | None:
    if not path or _is_inside_package(path):
        return None
    reading = number != errno.EROFS and os.path.exists(path) and not os.access(path, os.R_OK)
    why = "the file system is read-only" if number == errno.EROFS else "no permission"
    if reading:
        return f"Cannot read {path} ({why}). Make it readable for this user."
    return f"Cannot write to {path} ({why}). Make it writable, or {options.place(command, path)}."


def _is_inside_package(path: str) -> bool:
    """A file of our own that is missing is our defect."""
    return Path(path).absolute().is_relative_to(_PACKAGE)


def _handles(command: str) -> str:
    fewer = options.fewer_processes(command)
    return (
        "Too few file handles: this system lets a process open few files (see 'ulimit -n'). "
        f"Raise the number with 'ulimit -n 4096'{', or read with ' + fewer if fewer else ''}."
    )


def _memory_of_host(command: str) -> str:
    fewer = [part for part in (options.smaller(command), options.fewer_processes(command)) if part]
    advice = f"Use less with {' or '.join(fewer)}" if fewer else "Use a machine with more"
    return f"Memory has run out. {advice}, or end other programs."


def _memory(error: BaseException, command: str) -> str | None:
    if isinstance(error, MemoryError):
        return _memory_of_host(command)
    text = _words(error)
    kinds = (RuntimeError, OSError, ImportError)  # libraries that do not fit in are ImportErrors
    if not isinstance(error, kinds) or not _MEMORY.search(text):
        return None
    if type(error).__name__ == "OutOfMemoryError" or re.search("CUDA|CUBLAS|MPS", text):
        smaller = options.smaller(command) or options.on_cpu(command)
        return f"The GPU has too little memory ({first_line(error)[:120]}). Use {smaller}."
    return _memory_of_host(command)


def _shared(error: BaseException, command: str) -> str | None:
    """Loader processes hand batches over in /dev/shm, which containers make small."""
    text = _words(error)
    if not isinstance(error, (RuntimeError, OSError, ImportError)):
        return None
    if _PROCESS_TEXT.search(text):
        fewer = options.fewer_processes(command) or "fewer processes"
        return (
            "Too many processes or threads: this system lets a user have few (see 'ulimit -u'). "
            f"End others, or read with {fewer}."
        )
    if _HANDLE_TEXT.search(text):
        return _handles(command)
    if not _SHARED.search(text) and not _is_of_processes(error):
        return None
    alone = options.fewer_processes(command) or "one process"
    return (
        "/dev/shm, the shared memory, is too small for processes that load data. Make it larger "
        f"(docker run --shm-size=8g, mount -o remount,size=8g /dev/shm), or read with {alone}."
    )


def _is_of_processes(error: BaseException) -> bool:
    """Locks and queues between processes lie in /dev/shm, too, and their errors name no file."""
    return isinstance(error, OSError) and raised_in(error) == "multiprocessing.synchronize"


def _disk(error: BaseException, command: str) -> str | None:
    """Full disks by the words of PyTorch, SQLite and others."""
    known = isinstance(error, RuntimeError) or type(error).__module__ == "sqlite3"
    if not known or not _DISK.search(str(error)):
        return None
    return _full(_path_of(error), command)


def _sqlite(error: BaseException, _: str) -> str | None:
    if type(error).__module__ != "sqlite3":
        return None
    if not re.search("readonly|unable to open|I/O error|locked|malformed|not a data", str(error)):
        return None
    path = _path_of(error)
    return f"Cannot use the index {_of(path)} ({first_line(error)}). Make it writable, or anew."


def _device(error: BaseException, command: str) -> str | None:
    if not isinstance(error, (RuntimeError, AssertionError)) or not _DEVICE.search(str(error)):
        return None
    return f"The device cannot be used ({first_line(error)}). Use {options.on_cpu(command)}."


def _settings(error: BaseException, _: str) -> str | None:
    """Settings that Lightning refuses: it says what is expected."""
    named = {kind.__name__ for kind in type(error).__mro__}
    return " ".join(str(error).split()) if "MisconfigurationException" in named else None


def _text(error: BaseException, _: str) -> str | None:
    kind = type(error)
    if kind.__module__.partition(".")[0] == "yaml" and kind.__name__ != "RepresenterError":
        return f"{_path_of(error) or 'A file'} is no YAML: {error}"
    loop = re.match("Symlink loop from '?(.*?)'?$", str(error))
    if loop and isinstance(error, RuntimeError):
        return f"Cannot use {loop[1]}: {_PLACES[errno.ELOOP]}."
    path = _path_of(error) if isinstance(error, UnicodeDecodeError) else ""
    return f"{path} is no text in UTF-8 ({error}). Save it as UTF-8." if path else None


_RECOGNISERS: tuple[Callable[[BaseException, str], str | None], ...] = (
    *(
        _shared,
        _memory,
        _system,
        _disk,
        _sqlite,
        _device,
        missing_package,
        account,
        _settings,
        _text,
    ),
)
