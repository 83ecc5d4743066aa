"""Queries of the page: a drawing, a picture or a photo of the index, with a text and a filter."""

import base64
import binascii
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from data_modules.images.render import render_strokes
from sketchclip.search.demo.limits import Limits, RequestError
from sketchclip.search.query import read_query

SIZE = 224
"""Side of a rendered drawing in pixels, the same as for drawings read from files."""

_LIMITS = Limits()
_PNG = "data:image/png;base64,"
Coordinates = Annotated[list[Annotated[float, Field(ge=-1e4, le=1e4)]], Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Stroke(_Strict):
    """One stroke; all strokes of a drawing share one unit.

    Attributes:
        x: Coordinates to the right.
        y: Coordinates downwards.
        width: Line width in multiples of the training sketches' line width.
    """

    x: Coordinates
    y: Coordinates
    width: float = Field(1.0, ge=0.25, le=4.0)


class Like(_Strict):
    """A photo whose like is sought.

    Attributes:
        column: Number of the column in which it was clicked.
        photo: Id of the photo.
    """

    column: int = Field(0, ge=0, le=1)
    photo: str = Field(max_length=200)


class Query(_Strict):
    """A query; of strokes, picture and like at most one is given.

    Attributes:
        strokes: Strokes of a drawing.
        picture: Sketch as a data URL of a PNG, as ``/api/sketch`` answers.
        like: Photo of an index.
        text: Description of the photo, alone or together with one of the above.
        weight: Weight of the text, 0 to 1, where both are given.
        class_name: Class of the photos; None for all.
        count: Number of photos wanted.
    """

    strokes: list[Stroke] = Field(default=[], max_length=_LIMITS.strokes)
    picture: str | None = None
    like: Like | None = None
    text: str = Field("", max_length=_LIMITS.text)
    weight: float = Field(0.5, ge=0.0, le=1.0)
    class_name: str | None = Field(None, max_length=200)
    count: int = Field(24, ge=1, le=_LIMITS.results)

    @model_validator(mode="after")
    def _is_one_question(self) -> "Query":
        given = [bool(self.strokes), self.picture is not None, self.like is not None]
        if sum(given) > 1:
            raise ValueError("give one of strokes, picture and like")
        if not any(given) and not self.text.strip():
            raise ValueError("draw something or write a text")
        if any(len(stroke.x) != len(stroke.y) for stroke in self.strokes):
            raise ValueError("a stroke needs as many x as y")
        if sum(len(stroke.x) for stroke in self.strokes) > _LIMITS.points:
            raise ValueError(f"a drawing has at most {_LIMITS.points:,} points")
        return self

    def image(self) -> np.ndarray | None:
        """Sketch for the model, uint8 RGB, (H, W, 3); None where none is given.

        Strokes are rendered as the training sketches were: same margins, and a width that does
        not depend on the size at which somebody draws.

        Raises:
            SketchClipError: If the picture cannot be read.
        """
        if self.strokes:
            drawing = [(stroke.x, stroke.y) for stroke in self.strokes]
            widths = [stroke.width * SIZE / 37 for stroke in self.strokes]
            return np.array(render_strokes(drawing, SIZE, widths, extent=None))
        if self.picture is None:
            return None
        if not self.picture.startswith(_PNG):
            raise RequestError(f"picture: expected a data URL that starts with {_PNG}")
        try:
            data = base64.b64decode(self.picture[len(_PNG) :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise RequestError(f"picture: no base64 ({error}).") from error
        return read_query(data)


def parse_query(body: bytes) -> Query:
    """Read a query in JSON; an error names the first fault."""
    try:
        return Query.model_validate_json(body)
    except ValidationError as error:
        first: Any = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        message = first["msg"].removeprefix("Value error, ")
        raise RequestError(f"{where}: {message}." if where else f"{message}.") from error
