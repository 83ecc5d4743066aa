"""The API reference: every public name is on a page, and every name on a page exists."""

import re
from importlib import import_module

import pytest

from tests.helpers.paths import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted((DOCS / "reference").glob("*.md"))
PACKAGES = ("data_modules", "sketchclip.adaptations", "sketchclip.losses")
PACKAGES += ("sketchclip.methods", "sketchclip.metrics", "sketchclip.semantics")


def documented() -> list[str]:
    return [
        name
        for page in PAGES
        for name in re.findall(r"^::: (\S+)$", page.read_text("utf-8"), re.MULTILINE)
    ]


def test_every_public_name_is_documented_once():
    names = documented()
    assert len(names) == len({*names})
    public = {
        f"{package}.{name}" for package in PACKAGES for name in import_module(package).__all__
    }
    assert public <= {*names}


@pytest.mark.parametrize("name", documented())
def test_what_is_documented_exists_and_says_what_it_does(name):
    module, _, attribute = name.rpartition(".")
    assert getattr(import_module(module), attribute).__doc__.strip()
