"""One rule of what is passed over in folders, for datasets and for photos to search."""

import io

import numpy as np
import pytest
from PIL import Image

from data_modules.listing.entries import no_folder
from data_modules.listing.scan import PHOTOS, list_folder, list_pattern
from sketchclip.data_check.survey import survey
from sketchclip.errors import SketchClipError
from sketchclip.search.location import check_folder
from sketchclip.search.photos import find_photos

SYSTEMS = (
    *(
        "@eaDir",
        "$RECYCLE.BIN",
        "$Recycle.Bin",
        "System Volume Information",
        "#recycle",
        "#snapshot",
    ),
    *("RECYCLER", "_gsdata_", "~WRL0001.tmp.jpg", "SYNOFILE_THUMB_XL.jpg"),
    *("__MACOSX", "lost+found", "LOST.DIR", ".Trash-1000", ".snapshot", "@Recycle", ".@__thumb"),
    *("Network Trash Folder", "Temporary Items", ".AppleDouble", ".ipynb_checkpoints", ".stfolder"),
    *("@Recently-Snapshot", "~snapshot", "FOUND.000", "__pycache__", "Icon\r"),
)
FILES = ("._2.jpg", ".hidden.jpg", "~$2.jpg", "Thumbs.db", "THUMBS.DB", "desktop.ini", ".DS_Store")
CLASSES = ("cat", "recycle", "snapshot", "@home", "trash", "found")


@pytest.fixture
def root(tmp_path):
    image = io.BytesIO()
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(image, "JPEG")
    for folder in (*CLASSES, *SYSTEMS, ".git"):
        (tmp_path / folder).mkdir()
        for name in ("_DSC0001.jpg", "2.jpg", *FILES):
            (tmp_path / folder / name).write_bytes(image.getvalue())
    return tmp_path


def test_datasets_and_searches_pass_over_the_same(root):
    listing = list_folder(root, PHOTOS)
    assert {name: [p.name for p in files] for name, files in listing.items()} == {
        name: ["2.jpg", "_DSC0001.jpg"] for name in CLASSES
    }
    assert list_pattern(root, "<class>/*.jpg", PHOTOS) == listing
    found = survey(root, PHOTOS)
    assert found.names == listing
    assert not found.foreign
    assert not found.empty
    found = find_photos([root])
    listed = sorted(str(path) for files in listing.values() for path in files)
    assert sorted(photo.path for photo in found.photos) == listed
    assert not found.skipped
    assert not found.unlisted


def test_why_a_path_is_no_folder(tmp_path):
    for name in ("a.zip", "A.TAR.GZ", "b.txt"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    assert no_folder(tmp_path / "a.zip") == no_folder(tmp_path / "A.TAR.GZ")
    assert no_folder(tmp_path / "a.zip") == "is a file: unpack it and name the folder"
    assert no_folder(tmp_path / "b.txt") == "is a file"
    assert no_folder(tmp_path / "link") == "is a link to what is missing"
    assert no_folder(tmp_path / "gone") == "does not exist"


def test_an_empty_folder_may_hold_what_systems_left(root):
    check_folder(root / ".git", {"2.jpg", "_DSC0001.jpg"})
    with pytest.raises(SketchClipError, match=r"it holds 2\.jpg, _DSC0001\.jpg"):
        check_folder(root / "cat", set())
