"""Port and address of the demo, its warnings, its start and its end."""

import errno
import os
import socket
import sys
import warnings
import webbrowser
from ipaddress import ip_address

import uvicorn
from starlette.applications import Starlette

from sketchclip.errors import SketchClipError
from sketchclip.search.demo.limits import Limits
from sketchclip.system.signals import Terminated, say_stopped

LOCAL = "127.0.0.1"
PORT = 7860
_TRIES, _LAST = 20, 65535


def is_local(host: str) -> bool:
    """Tell whether only programs of this machine reach an address.

    >>> is_local("127.0.0.1"), is_local("localhost"), is_local("::1"), is_local("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, named: list[str]) -> set[str]:
    """Names in the address bar that are taken for this server, in lower case.

    Raises:
        SketchClipError: If a name is a pattern: it would let names of others in.
    """
    if patterns := [name for name in named if "*" in name]:
        raise SketchClipError(f"--allow-host {patterns[0]}: expected a name without '*'.")
    hosts = {"localhost", "127.0.0.1", "::1", host}
    if not is_local(host):
        hosts.add(socket.gethostname())
    return {name.lower().strip("[]") for name in (*hosts, *named)}


def bind(host: str, port: int | None) -> socket.socket:
    """Listen on a port: the one that is named, else 7860 or the next free one.

    Raises:
        SketchClipError: If the port is in use, or the address is none of this machine's.
    """
    if port is not None and not 0 <= port <= _LAST:  # some systems would take the remainder
        raise SketchClipError(f"--port {port}: expected 0 to {_LAST}.")
    for number in range(PORT, PORT + _TRIES) if port is None else [port]:
        try:
            return _listen(host, number)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                why = error.strerror or str(error)
                raise SketchClipError(f"Cannot listen on {host}:{number} ({why}).") from error
    if port is None:
        raise SketchClipError(
            f"Ports {PORT} to {PORT + _TRIES - 1} of {host} are all in use. Name a free one: "
            "--port N."
        )
    raise SketchClipError(
        f"Port {port} of {host} is in use, perhaps by another demo. Stop that one, or leave "
        "--port out: then a free port is taken."
    )


def _listen(host: str, port: int) -> socket.socket:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    family, kind, protocol, _, address = found[0]
    taken = socket.socket(family, kind, protocol)
    try:
        if os.name == "posix":  # a port that was just left is free; elsewhere it would be shared
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(address)
        taken.listen(128)
    except BaseException:
        taken.close()
        raise
    return taken


def serve(app: Starlette, taken: socket.socket, limits: Limits, browser: bool) -> None:
    """Print the address and answer until Ctrl+C; open the page where somebody sits at a screen."""
    host, port = taken.getsockname()[:2]
    if not is_local(host):
        warnings.warn(
            f"{host} is reachable from other machines. Whoever reaches it can see the photos of "
            "the index; there is no password and no encryption.",
            stacklevel=2,
        )
    shown = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    url = f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"
    print(f"\nDraw at {url}\nStop with Ctrl+C.", flush=True)
    if browser and sys.stdout.isatty() and _has_screen():
        webbrowser.open(url)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=limits.connections,
        timeout_graceful_shutdown=3,
    )
    try:
        uvicorn.Server(config).run(sockets=[taken])
    except Terminated:
        raise
    except KeyboardInterrupt:  # that is how it ends
        say_stopped()


def _has_screen() -> bool:
    """Tell whether a browser with windows can open; one in the terminal would take it over."""
    if sys.platform in ("win32", "darwin"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
