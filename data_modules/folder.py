"""Your own data: a folder of sketches and a folder of photos."""

from data_modules.base import SketchPhotoDataModule


class SketchPhotoFolder(SketchPhotoDataModule):
    """Any ``sketch/<class>/*`` and ``photo/<class>/*`` tree; a split must be named."""

    layouts = (("sketch", "photo"), ("sketches", "photos"), ("sketches", "images"))
