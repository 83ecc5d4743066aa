"""Whether a server can be reached, before its library finds out by retries of a minute or more."""

import logging
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

_SECONDS = 3.0
_HUB = "https://huggingface.co"


def hub_problem() -> str | None:
    """Why the hub cannot be reached, in a few words; None if it can, or if a proxy can."""
    return problem_of(os.environ.get("HF_ENDPOINT") or _HUB)


def problem_of(url: str) -> str | None:
    """Why a server cannot be reached, in a few words; None if it can, or if a proxy can."""
    address = urlsplit(url)
    host, proxies = address.hostname or "", getproxies()
    proxy = proxies.get(address.scheme) or proxies.get("all")
    if proxy and not proxy_bypass(host):
        address = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = address.port or (443 if address.scheme == "https" else 80)
    reason = _connect(address.hostname or "", port)
    return f"{host} cannot be reached ({reason})" if reason else None


@contextmanager
def hub() -> Iterator[str | None]:
    """Load from the hub: from its cache alone where no network is, which takes no retries.

    Yields:
        Why the hub cannot be reached; None if it can.
    """
    from huggingface_hub import constants

    problem = None if constants.HF_HUB_OFFLINE else hub_problem()
    if problem is None:
        yield None
        return
    # The environment variable of this name is read once, when the library is imported.
    constants.HF_HUB_OFFLINE = True
    before = logging.root.manager.disable
    logging.disable()  # libraries log the failure as well, and the caller's message says more
    try:
        yield problem
    finally:
        logging.disable(before)
        constants.HF_HUB_OFFLINE = False


@lru_cache
def _connect(host: str, port: int) -> str | None:
    """Try a connection; in a thread, as nothing limits how long a name server may be asked."""
    reasons = ["it does not answer"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), _SECONDS).close()
            reasons.append("")
        except (OSError, UnicodeError) as error:
            reasons.append(getattr(error, "strerror", None) or str(error))

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_SECONDS)
    return reasons[-1] or None
