"""The web application: the page, its queries, and the photos of the index."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any

import anyio
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from data_modules.images.render import Drawing
from sketchclip.errors import SketchClipError
from sketchclip.search.demo.answers import Answers
from sketchclip.search.demo.columns import Column
from sketchclip.search.demo.guard import Guard
from sketchclip.search.demo.limits import Gate, Limits, RequestError, read_body
from sketchclip.search.demo.thumbnails import SIDES
from sketchclip.search.demo.uploads import Uploads

# Pages of a version are not to meet files of another; a photo may stay in the browser for a while.
_FRESH = {"Cache-Control": "no-cache"}
_KEPT = {"Cache-Control": "private, max-age=3600"}

Example = tuple[str, Drawing]
"""Name and strokes of a doodle to try."""


class Server:
    """Answers the requests of the page.

    Args:
        answers: To queries.
        limits: On what one request may ask.
        examples: Doodles to try.
    """

    def __init__(self, answers: Answers, limits: Limits, examples: Sequence[Example]) -> None:
        self._answers = answers
        self._limits = limits
        self._about = {
            **answers.about(),
            "limits": {"upload_bytes": limits.upload_bytes, "points": limits.points},
            "examples": [{"name": name, "drawing": drawing} for name, drawing in examples],
        }
        # One query at a time: PyTorch takes all cores for each, and more would only wait for it.
        self._searches = Gate(1, limits.searches)
        self._photos = Gate(2, limits.photos)
        self.uploads = Uploads(limits.uploads, limits.upload_seconds)

    def routes(self) -> list[Route | Mount]:
        """Paths below the root; the page names them relative to itself."""
        page = files("sketchclip.search.demo") / "page"
        return [
            Route("/", lambda _: FileResponse(str(page / "index.html"), headers=_FRESH)),
            Mount("/page", _Files(directory=str(page))),
            Route("/api/about", self.about),
            Route("/api/search", self.search, methods=["POST"]),
            Route("/api/grid", self.grid, methods=["POST"]),
            Route("/api/sketch", self.sketch, methods=["POST"]),
            Route("/photo/{column:int}/{photo:str}", self.photo),
        ]

    async def about(self, _: Request) -> Response:
        """What can be searched."""
        return JSONResponse(self._about)

    async def search(self, request: Request) -> Response:
        """Photos for a query, and the sketch as the model gets it."""
        body = await read_body(request, self._limits.query_bytes, self._limits.seconds)
        async with self._searches:
            return JSONResponse(await run_sync(self._answers.search, body))

    async def grid(self, request: Request) -> Response:
        """The photos for a query as one picture."""
        body = await read_body(request, self._limits.query_bytes, self._limits.seconds)
        async with self._searches:
            picture = await run_sync(self._answers.grid, body)
        return Response(picture, media_type="image/png")

    async def sketch(self, request: Request) -> Response:
        """An uploaded sketch of any kind as a small PNG, which then belongs to queries."""
        async with self.uploads.gate:
            body = await read_body(request, self._limits.upload_bytes, self._limits.seconds)
            return Response(await self.uploads.png(body), media_type="image/png")

    async def photo(self, request: Request) -> Response:
        """A photo of an index, encoded anew."""
        side = request.query_params.get("side", str(SIDES[0]))
        if side not in map(str, SIDES):
            raise RequestError(f"side: expected one of {SIDES}.")
        column, photo = request.path_params["column"], request.path_params["photo"]
        async with self._photos:
            picture = await run_sync(self._answers.thumbnail, column, photo, int(side))
        return Response(picture, media_type="image/webp", headers=_KEPT)


def create_app(
    columns: Sequence[Column],
    hosts: Iterable[str],
    limits: Limits | None = None,
    examples: Sequence[Example] = (),
    full_paths: bool = True,
) -> Starlette:
    """The web application.

    Args:
        columns: One list of results each, one or two.
        hosts: Names and addresses that the server is reached by.
        limits: On what one request may ask.
        examples: Doodles to try.
        full_paths: Whether to tell where on this machine a photo is; else its folder and name.

    Returns:
        An ASGI application.
    """
    limits = limits or Limits()
    server = Server(Answers(columns, limits.cache_bytes, full_paths), limits, examples)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as background:
            background.start_soon(server.uploads.start)  # nobody is to wait for it later
            yield
            background.cancel_scope.cancel()

    return Starlette(
        routes=server.routes(),
        middleware=[Middleware(Guard, hosts=frozenset(hosts))],
        exception_handlers={
            SketchClipError: _refuse,
            HTTPException: _no_such_page,
            Exception: _fail,
        },
        lifespan=lifespan,
    )


def _refuse(_: Request, error: Exception) -> Response:
    status = error.status if isinstance(error, RequestError) else 400
    headers = {"Retry-After": "1"} if status == 503 else {}
    # After a body that was not read to its end the connection cannot be used again.
    if status in (408, 413):
        headers["Connection"] = "close"
    return JSONResponse({"error": str(error)}, status, headers)


def _no_such_page(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = {404: "There is nothing at this address.", 405: "This address takes another method."}
    message = told.get(error.status_code, error.detail)
    return JSONResponse({"error": message}, error.status_code, error.headers)


def _fail(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "The server failed; its terminal says why."}, 500)


class _Files(StaticFiles):
    """The page's files; StaticFiles keeps to its folder, whatever the path says."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().file_response(*args, **kwargs)
        response.headers.update(_FRESH)
        return response
