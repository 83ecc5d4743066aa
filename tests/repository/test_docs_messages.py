"""The pages on messages: the list is that of the code, and each row of the tables is a message."""

import re

import pytest

from sketchclip.cli import main
from tests.helpers.paths import REPOSITORY
from tests.repository.test_docs import DOCS
from tools import error_messages
from tools.error_messages import OPEN, PAGE, in_source, messages, page

TABLES = (DOCS / "troubleshooting.md").read_text("utf-8")
ROWS = re.findall(r"^\| `([^`]+)` \| (.+) \| (.+) \|$", TABLES, re.MULTILINE)


def test_the_list_is_that_of_the_code():
    assert PAGE.read_text("utf-8") == page(), "write it anew: python -m tools.error_messages"


def test_messages_are_found_in_every_form():
    source = """
def one(path):
    told = f"{path}: expected a file"
    if path:
        raise SketchClipError(f"{told}, found {path!r}." + " Name one.")
    raise errors.SketchClipError("Nothing"
        " here.") from None
def two(error):
    raise SketchClipError(str(error))
"""
    found = sorted(in_source(source))
    assert found == ["Nothing here.", f"{OPEN}: expected a file, found {OPEN}. Name one."]


def test_every_module_has_a_theme_and_hardly_an_error_is_left_out():
    found = messages()
    assert {message.theme for message in found} == {*error_messages.THEMES.values()}
    raised = sum(
        path.read_text("utf-8").count("raise SketchClipError(")
        for package in ("data_modules", "sketchclip")
        for path in (REPOSITORY / package).rglob("*.py")
    )
    assert len(found) > 0.9 * raised


def words(text):
    """The parts of a message that stay."""
    return [part.strip() for part in text.split(OPEN) if part.strip(" .,:()'")]


def known():
    """Messages, and texts of the modules that word those of the system and of parsers."""
    texts = [message.text for message in messages()]
    for folder in ("system", "commands/parser_errors"):
        for path in (REPOSITORY / "sketchclip" / folder).glob("*.py"):
            texts.append(re.sub(r'"\s*\n\s*f?"', "", path.read_text("utf-8")))
    texts.append((REPOSITORY / "data_modules" / "prepared" / "prepare.py").read_text("utf-8"))
    return texts


def test_each_row_is_a_message_of_the_code():
    assert len(ROWS) >= 40
    texts = known()
    for message, why, advice in ROWS:
        parts = words(message)
        assert parts, message
        pattern = ".*".join(map(re.escape, parts))
        assert any(re.search(pattern, text, re.DOTALL) for text in texts), message
        assert len(why) > 10, message
        assert len(advice) > 3, message


@pytest.mark.parametrize(
    ("command", "row"),
    [
        ("fit --config experiments/doodles.yaml --model.prompt_lrr 1", "unknown option"),
        ("fit --config nowhere.yaml", "Shipped:"),
        ("fit --config experiments/own_data.yaml --data.root {here}", "expected … under"),
        ("data check {here}", "No dataset recognized"),
        ("test", "No run with a checkpoint"),
        ("compare {here} {here}", "holds no results"),
        ("plot {here}", "No run in"),
    ],
)
def test_what_a_command_says_is_on_the_page(command, row, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    (shown,) = (message for message, _, _ in ROWS if row in message)
    with pytest.raises(SystemExit) as stop:
        main([part.replace("{here}", str(tmp_path)) for part in command.split()])
    assert stop.value.code == 2
    said = " ".join(capsys.readouterr().err.split())
    assert re.search(".*".join(map(re.escape, words(shown))), said), said
