"""What machines and libraries raise becomes one message; what is a defect stays one."""

import errno
import os
import re
import sqlite3
import zipfile
from pathlib import Path

import pytest
import yaml

from sketchclip.cli import main
from sketchclip.errors import MissingWeightsError, SketchClipError
from sketchclip.system.causes import explain


class MisconfigurationException(Exception):  # noqa: N818 (Lightning's name)
    pass


def raised_by(package: str, text: str, kind: str = "ModuleNotFoundError") -> Exception:
    """An error that code of a library raises, or one of its own."""
    space = {"__name__": f"{package}.part"}
    exec(f"class UsageError(Exception): pass\ndef fail(): raise {kind}({text!r})", space)
    with pytest.raises(Exception, match=re.escape(text)) as raised:
        space["fail"]()  # type: ignore[operator]
    return raised.value


class OutOfMemoryError(RuntimeError):
    pass


def os_error(number: int, path: str | None = "runs/a/x") -> OSError:
    return OSError(number, os.strerror(number), path)


WORKER = "Caught {0} in DataLoader worker process 0.\nOriginal Traceback:\n  ...\n{0}: {1}"
SHM = r"/dev/shm.*too small.*--shm-size.*--data.num_workers 0"
HANDLES = r"ulimit -n 4096.*--data.num_workers 0"
FULL = r"No space left on the disk of runs/a/x.*--trainer.logger.save_dir"
SMALLER = r"--data.batch_size and --data.eval_batch_size"
# Error, and what the message of 'fit' must say.
KNOWN: list[tuple[BaseException, str]] = [
    *((os_error(number), FULL) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
    (os_error(errno.EROFS), r"Cannot write to runs/a/x \(the file system is read-only\)"),
    (os_error(errno.EACCES), r"Cannot write to runs/a/x \(no permission\).*save_dir"),
    (os_error(errno.EPERM), r"Cannot write to runs/a/x"),
    (os_error(errno.EMFILE), HANDLES),
    (os_error(errno.ENFILE, None), HANDLES),
    (os_error(errno.ENAMETOOLONG), r"runs/a/x: its name is too long"),
    (os_error(errno.ENOTDIR), r"runs/a/x: a part of this path is a file"),
    (os_error(errno.EISDIR), r"runs/a/x: it is a folder"),
    (os_error(errno.ELOOP), r"runs/a/x: its links lead in a circle"),
    (os_error(errno.ENOENT), r"runs/a/x does not exist"),
    (os_error(errno.ESTALE), r"drive of runs/a/x does not answer"),
    (os_error(errno.EIO), r"drive of runs/a/x does not answer"),
    (os_error(errno.EIO, "shared memory, too many open files.png"), r"drive of shared memory"),
    (os_error(errno.ENOMEM), SMALLER),
    (os_error(errno.EADDRINUSE), r"--port"),
    (OSError(WORKER.format("OSError", "[Errno 24] Too many open files: 'a.png'")), HANDLES),
    (OSError(WORKER.format("OSError", "[Errno 116] Stale file handle: 'a.png'")), r"of a\.png"),
    (RuntimeError("lance error: IO: No space left (os error 28)"), r"No space left"),
    (RuntimeError("received 0 items of ancdata"), HANDLES),
    (
        RuntimeError("unable to open object </torch_1>: Too many open files (24)"),
        "ul",
    ),
    (RuntimeError("unable to write to file </torch_1_2>: No space left on device (28)"), SHM),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. It is possible"), SHM),
    (RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"), SHM),
    (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), SMALLER),
    (RuntimeError("[enforce fail] . PytorchStreamWriter failed writing file data/0"), "No space"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 8 bytes"), SMALLER),
    (OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), rf"The GPU.*{SMALLER}"),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), r"The GPU"),
    (MemoryError("Unable to allocate 8 EiB"), SMALLER),
    (sqlite3.OperationalError("database or disk is full"), r"No space left"),
    (sqlite3.OperationalError("attempt to write a readonly database"), r"Make it writable"),
    (AssertionError("Torch not compiled with CUDA enabled"), r"--trainer.accelerator cpu"),
    (ImportError("libtorch.so: failed to map segment from shared object"), SMALLER),
    (ImportError("libcrypt.so: cannot open shared object file: Too many open files"), HANDLES),
    (RuntimeError("can't start new thread"), r"ulimit -u.*--data.num_workers 0"),
    (BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN)), r"ulimit -u"),
    (RuntimeError("Symlink loop from '/a/b'"), r"/a/b: its links lead in a circle"),
    (MisconfigurationException("`monitor`\n  is wrong"), r"`monitor` is wrong"),
    (yaml.YAMLError("tab"), r"no YAML"),
    (
        raised_by("lightning", "Requirement 'torch_xla>=1.13' not met. HINT: Try running `x`"),
        r"needs the package torch_xla>=1\.13\. Install it with pip install 'torch_xla>=1\.13'",
    ),
    (
        raised_by("lightning", "Module not found: 'tensorboardX'. HINT: Try running `x`"),
        r"pip install 'sketchclip\[tensorboard\]'",
    ),
    (raised_by("lightning", "No module named 'mlflow'"), r"needs the package mlflow\."),
    (raised_by("lightning", "You must have `rich` installed"), r"needs the package rich\."),
    (raised_by("lightning", "Needs PyTorch 9", "ImportError"), r"package: Needs PyTorch 9\. Inst"),
    (raised_by("wandb", "No API key.", "UsageError"), r"No API key\. Log in, .*WANDB_MODE=off"),
    (raised_by("neptune", "No token", "UsageError"), r"NEPTUNE_API_TOKEN.*--trainer\.logger"),
]


@pytest.mark.parametrize(("error", "said"), KNOWN, ids=lambda x: repr(x)[:40])
def test_errors_of_machines_are_one_message(error, said):
    message = explain(error, "fit")
    assert message is not None
    assert re.search(f"(?s){said}", message), message


DEFECTS = [
    raised_by("sketchclip", "No module named 'torch'"),
    *(kind("x") for kind in (TypeError, KeyError, AttributeError, ValueError, AssertionError)),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied"),
    RecursionError("maximum recursion depth exceeded"),
    OSError("no number"),
    os_error(errno.EINVAL),
    os_error(errno.ENOENT, str(Path(explain.__code__.co_filename).with_name("lost.zip"))),
]


@pytest.mark.parametrize("error", DEFECTS, ids=repr)
def test_a_defect_is_none_of_them(error):
    assert explain(error, "fit") is None


def test_a_defect_while_an_error_is_handled_is_a_defect():
    def handle() -> None:
        try:
            raise os_error(errno.ENOSPC)
        except OSError:
            len(5)  # type: ignore[arg-type]

    source = {"__name__": "sketchclip.somewhere", "os_error": os_error, "errno": errno}
    ours = type(handle)(handle.__code__, source)
    with pytest.raises(TypeError) as raised:
        ours()
    assert explain(raised.value, "fit") is None
    with pytest.raises(TypeError) as raised:
        handle()  # a library's clean-up fails because the disk is full
    assert "No space" in (explain(raised.value, "fit") or "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("how", ["text", "zip"])
def test_a_full_disk_is_told_with_the_path_that_the_system_leaves_out(how):
    def write() -> None:
        if how == "text":
            Path("/dev/full").write_text("x")
        else:
            with Path("/dev/full").open("wb") as file, zipfile.ZipFile(file, "w") as archive:
                archive.writestr("a", bytes(1 << 16))

    with pytest.raises(OSError) as raised:  # noqa: PT011
        write()
    assert "disk of /dev/full" in (explain(raised.value, "index") or "")


@pytest.mark.parametrize(
    ("command", "said", "unsaid"),
    [
        ("fit", r"--model\.pretrained=FILE.*--model\.backbone=mini", r" --pretrained"),
        ("index", r"--pretrained=FILE.*--backbone=sketchclip-mini", r"--model\."),
        ("search", r"--index", r"pretrained|--model"),
    ],
)
def test_missing_weights_name_options_that_the_command_has(command, said, unsaid):
    error = MissingWeightsError("No weights", "--model.pretrained", "or --model.backbone=mini")
    message = explain(error, command) or ""
    assert re.search(said, message), message
    assert not re.search(unsaid, message), message
    assert explain(SketchClipError("Use --model.backbone=x."), "index") == "Use --backbone=x."


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (os_error(errno.ENOSPC), 2, "sketchclip: error: No space left"),
        (KeyboardInterrupt(), 130, "Stopped.\n"),
    ],
    ids=["full", "interrupted"],
)
def test_main_says_it_in_a_line(monkeypatch, capsys, error, status, said):
    def run(*_):
        raise error

    monkeypatch.setattr("sketchclip.commands.compare.run", run)
    with pytest.raises(SystemExit) as stopped:
        main(["compare", "a", "b"])
    message = capsys.readouterr().err
    assert stopped.value.code == status
    assert message.startswith(said)
    assert len(message.splitlines()) == 1


def test_main_raises_a_defect(monkeypatch):
    monkeypatch.setattr("sketchclip.commands.compare.run", lambda _: {}["defect"])
    with pytest.raises(KeyError, match="defect"):
        main(["compare", "a", "b"])
