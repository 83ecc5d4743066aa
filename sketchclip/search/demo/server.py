"""Web application of the demo: the page, its queries, and the photos of the index."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
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
from sketchclip.search.demo.limits import Gate, Guard, Limits, RequestError, read_body
from sketchclip.search.demo.pictures import PHOTO_SIZES, Uploads

# A photo may stay in the browser for a while; else pages of a version could meet files of another.
_KEPT = {"Cache-Control": "private, max-age=3600"}


class Server:
    """Handlers of the page's requests.

    Args:
        answers: Answers to queries.
        limits: Bounds of a request.
        examples: Names and strokes of doodles to try.
    """

    def __init__(
        self, answers: Answers, limits: Limits, examples: Sequence[tuple[str, Drawing]]
    ) -> None:
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
            Route("/", lambda _: FileResponse(str(page / "index.html"))),
            Mount("/page", StaticFiles(directory=str(page))),
            Route("/api/about", self.about),
            Route("/api/search", self.search, methods=["POST"]),
            Route("/api/grid", self.grid, methods=["POST"]),
            Route("/api/sketch", self.sketch, methods=["POST"]),
            Route("/photo/{column:int}/{photo:str}", self.photo),
        ]

    async def about(self, _: Request) -> Response:
        """Say what can be searched and sent."""
        return JSONResponse(self._about)

    async def search(self, request: Request) -> Response:
        """Answer a query with photos, and the sketch as the model gets it."""
        return JSONResponse(await self._searched(request, self._answers.search))

    async def grid(self, request: Request) -> Response:
        """Answer a query with one picture of the photos."""
        picture = await self._searched(request, self._answers.grid)
        return Response(picture, media_type="image/png")

    async def _searched(self, request: Request, search: Callable[[bytes], Any]) -> Any:
        body = await read_body(request, self._limits.query_bytes, self._limits.seconds)
        async with self._searches.entered():
            return await run_sync(search, body)

    async def sketch(self, request: Request) -> Response:
        """Answer an uploaded sketch of any kind with a small PNG, which then belongs to queries."""
        async with self.uploads.gate.entered():
            body = await read_body(request, self._limits.upload_bytes, self._limits.seconds)
            return Response(await self.uploads.png(body), media_type="image/png")

    async def photo(self, request: Request) -> Response:
        """Answer with a photo of an index, encoded anew."""
        side = request.query_params.get("side", str(PHOTO_SIZES[0]))
        if side not in map(str, PHOTO_SIZES):
            raise RequestError(f"side: expected one of {PHOTO_SIZES}.")
        column, photo = request.path_params["column"], request.path_params["photo"]
        async with self._photos.entered():
            picture = await run_sync(self._answers.thumbnail, column, photo, int(side))
        return Response(picture, media_type="image/webp", headers=_KEPT)


def create_app(
    columns: Sequence[Column],
    hosts: Iterable[str],
    limits: Limits | None = None,
    examples: Sequence[tuple[str, Drawing]] = (),
    full_paths: bool = True,
) -> Starlette:
    """Make the web application; ``full_paths`` shows where photos lie on this machine."""
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
    known = {404: "There is nothing at this address.", 405: "This address takes another method."}
    message = known.get(error.status_code, error.detail)
    return JSONResponse({"error": message}, error.status_code, error.headers)


def _fail(_: Request, __: Exception) -> Response:
    return JSONResponse({"error": "The server failed; its terminal says why."}, 500)
