"""Your own data: a folder of sketches and a folder of photos, or any arrangement of both."""

from data_modules.base import SketchPhotoDataModule
from data_modules.batch import Protocol


class SketchPhotoFolder(SketchPhotoDataModule):
    """Any ``sketch/<class>/*`` and ``photo/<class>/*`` tree; a split must be named.

    Other arrangements are described by ``sketch_files`` and ``photo_files``, such as
    ``<class>/sketch/*`` and ``<class>/photo/*``.
    """

    protocol = Protocol(precision_k=(1, 10, 100, 200))
