"""Server that becomes the command line: imports are done once, and each command is a fork.

Requests are lines of JSON on standard input: ``args``, ``folder`` to work in, ``out`` and ``err``
files, ``env``, ``limits`` (resource to number) and ``mount`` (``kind``, ``folder``, ``size``). The
answers are two lines: the id of the process, and later its status.
"""

import ctypes
import json
import os
import resource
import runpy
import signal
import sys
from importlib import import_module
from typing import Any

_MODULES = (
    "torch albumentations cv2 matplotlib.figure scipy.stats sketchclip.callbacks.report "
    "sketchclip.commands.trainer sketchclip.data_check.check sketchclip.metrics "
    "sketchclip.pretrained.export sketchclip.pretrained.model sketchclip.tables.build "
    "data_modules.prepared.prepare"
).split()
_NEW_MOUNTS, _BIND, _REMOUNT, _READ_ONLY, _PRIVATE = 0x20000, 4096, 32, 1, 0x44000


def preload() -> None:
    """Import what commands need, but nothing that starts threads: a fork would lose them."""
    for name in _MODULES:
        import_module(name)
    import torch

    torch.set_num_threads(1)


def _mount(kind: str, folder: str, size: str) -> None:
    """Mount a small disk, or make a folder read-only, for this process alone."""
    libc = ctypes.CDLL(None, use_errno=True)

    def call(name: str, *arguments: Any) -> None:
        if getattr(libc, name)(*arguments):
            raise OSError(ctypes.get_errno(), f"{name} {folder}")

    target = folder.encode()
    call("unshare", _NEW_MOUNTS)
    call("mount", None, b"/", None, _PRIVATE, None)
    if kind == "tmpfs":
        call("mount", b"none", target, b"tmpfs", 0, f"size={size}".encode())
    else:
        call("mount", target, target, None, _BIND, None)
        call("mount", None, target, None, _BIND | _REMOUNT | _READ_ONLY, None)


def _become(request: dict[str, Any]) -> None:
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["folder"])
    sys.path[0] = request["folder"]
    if mount := request.get("mount"):
        _mount(mount["kind"], mount["folder"], mount.get("size", ""))
        os.chdir(request["folder"])
    for name, limit in request.get("limits", {}).items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    os.environ.update(request.get("env", {}))
    sys.argv = ["sketchclip", *request["args"]]


def serve() -> bool:
    """Answer requests; True in a child, which is to run the command, False at the end."""
    preload()
    print("ready", flush=True)
    for line in sys.stdin:
        waits, begins = os.pipe()
        process = os.fork()
        if not process:
            os.close(waits)
            _become(json.loads(line))
            os.close(begins)
            return True
        os.close(begins)
        os.read(waits, 1)  # until the child is the command, so that no signal meets it before
        os.close(waits)
        print(process, flush=True)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    return False


if __name__ == "__main__" and serve():
    runpy.run_module("sketchclip", run_name="__main__", alter_sys=True)
