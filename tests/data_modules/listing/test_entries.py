"""One rule of what is passed over in folders, for datasets and for photos to search."""

import numpy as np
import pytest
from PIL import Image

from data_modules.listing.scan import PHOTOS, list_folder
from sketchclip.search.photos import find_photos

SYSTEMS = ("@eaDir", "$RECYCLE.BIN", "System Volume Information", "#recycle", "__MACOSX")


@pytest.fixture
def root(tmp_path):
    for folder in ("cat", "dog", *SYSTEMS, ".git"):
        (tmp_path / folder).mkdir()
        for name in ("_DSC0001.jpg", "2.jpg", "._2.jpg", ".hidden.jpg", "Thumbs.db"):
            Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / folder / name, "JPEG")
    return tmp_path


def test_datasets_and_searches_pass_over_the_same(root):
    listing = list_folder(root, PHOTOS)
    assert {name: [p.name for p in files] for name, files in listing.items()} == {
        "cat": ["2.jpg", "_DSC0001.jpg"],
        "dog": ["2.jpg", "_DSC0001.jpg"],
    }
    found = find_photos([root])
    listed = sorted(str(path) for files in listing.values() for path in files)
    assert sorted(photo.path for photo in found.photos) == listed
    assert not found.skipped
    assert not found.unlisted
