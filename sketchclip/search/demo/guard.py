"""Headers on every answer, and requests that no page of ours would send."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    # The page loads its own files and nothing else; inline scripts and other hosts are refused.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # No other site may show a photo of the index.
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


def host_of(authority: str) -> str:
    """The name in a Host header, without port and brackets.

    >>> host_of("localhost:7860"), host_of("[::1]:7860"), host_of("EXAMPLE.org")
    ('localhost', '::1', 'example.org')
    """
    try:
        return urlsplit(f"//{authority}").hostname or ""
    except ValueError:  # an odd number of brackets
        return ""


class Guard:
    """Answers only to the names of this machine, and only to its own pages.

    A page of another site could point a name of its own at 127.0.0.1 and read everything here
    (DNS rebinding); the Host header gives it away. It could also send queries without reading the
    answers; the Origin header gives that away.

    Args:
        app: What answers.
        hosts: Names and addresses it is reached by.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, with the headers."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(Headers(scope=scope))
        if refusal:
            await JSONResponse({"error": refusal}, 403)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _refusal(self, headers: Headers) -> str | None:
        host = headers.get("host", "")
        if host_of(host) not in self._hosts:
            return (
                "This server does not answer to that name. Open the address that it printed, or "
                "start it with --allow-host NAME."
            )
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return "Queries are taken from the server's own page only."
        return None
