"""List every message of the package's own error in docs/messages.md, from the code itself.

    python -m tools.error_messages          writes the page; a test says when it is out of date

A message is shown by the words that stay; an ellipsis stands for what depends on the input.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).parents[1]
PAGE = REPOSITORY / "docs" / "messages.md"
ERRORS = ("SketchClipError", "MissingWeightsError", "RequestError")
INNER = ("ValueError", "unreadable")
"""What modules of images raise and call: a part of the message that names the file."""
OPEN = "…"
# The first that a path begins with; every module has one.
THEMES = {
    "data_modules/images": "Images and drawings",
    "data_modules/prepared": "Prepared images",
    "data_modules/splits": "Classes and splits",
    "data_modules/listing": "Folders and class names",
    "data_modules/datasets": "Batches",
    "data_modules": "Data",
    "sketchclip/data_check": "Folders and class names",
    "sketchclip/config.py": "Settings and configs",
    "sketchclip/commands": "Settings and configs",
    "sketchclip/system": "The machine and the network",
    "sketchclip/callbacks": "Training",
    "sketchclip/loggers.py": "Training",
    "sketchclip/checkpoint.py": "Checkpoints and models",
    "sketchclip/pretrained": "Checkpoints and models",
    "sketchclip/runs": "Runs and grids",
    "sketchclip/tables": "Tables, figures and comparisons",
    "sketchclip/plots": "Tables, figures and comparisons",
    "sketchclip/metrics": "Evaluation",
    "sketchclip/search": "Search and demo",
    "sketchclip": "Methods and encoders",
}
_HEAD = """# All messages

Every message by which sketchclip refuses an input, with … for what depends on it. What to do about
the most common ones: [Troubleshooting](troubleshooting.md). This page is written by
`python -m tools.error_messages`.
"""


class Message(NamedTuple):
    """A message and the module that gives it, relative to the repository."""

    text: str
    module: str

    @property
    def theme(self) -> str:
        """Heading that it stands under."""
        return next(title for start, title in THEMES.items() if self.module.startswith(start))


def messages() -> list[Message]:
    """Collect the messages of both packages, in the order of modules and lines."""
    found = []
    for package in ("data_modules", "sketchclip"):
        for path in sorted((REPOSITORY / package).rglob("*.py")):
            module = path.relative_to(REPOSITORY).as_posix()
            source = path.read_text("utf-8")
            texts = in_source(source, (*ERRORS, *INNER) if "/images/" in module else ERRORS)
            if module.endswith(("causes.py", "packages.py")):  # what machines and libraries say
                texts = [*texts, *_returned(source)]
            found += [Message(text, module) for text in texts]
    return list(dict.fromkeys(found))


def in_source(source: str, errors: tuple[str, ...] = ERRORS) -> Iterator[str]:
    r"""Messages of a module: those of its errors that hold words of their own.

    Args:
        source: Its code.
        errors: Names of what is called with a message.

    >>> [*in_source("def f(x):\n raise SketchClipError(f'{x}: expected ' + 'a file, not {}.')")]
    ['…: expected a file, not {}.']
    """
    tree = ast.parse(source)
    functions = [n for n in ast.walk(tree) if isinstance(n, (ast.FunctionDef, ast.Module))]
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or not call.args:
            continue
        name = getattr(call.func, "id", getattr(call.func, "attr", ""))
        if name not in errors:
            continue
        # The innermost function comes last: names of it are texts as well.
        inside = [f for f in functions if any(node is call for node in ast.walk(f))]
        names = _texts(inside[-1])
        message = call.args[1 if name == "unreadable" else 0]
        text = _pattern(message, names)
        for shown in _worded(text):
            yield f"Cannot read image {OPEN} ({shown})" if name in INNER else shown


def _returned(source: str) -> Iterator[str]:
    """Texts that functions return, as far as they are sentences."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Return) and isinstance(node.value, (ast.JoinedStr, ast.BinOp)):
            text = _pattern(node.value, {})
            if text.endswith("."):
                yield from _worded(text)


def _worded(text: str) -> Iterator[str]:
    """Yield a pattern in one line, if it has words."""
    text = re.sub(rf"\s*{OPEN}[\s{OPEN}]*{OPEN}", f" {OPEN}", text)
    text = re.sub(r"\s+", " ", text).strip()
    if len(re.findall("[A-Za-z]", text)) > 4:
        yield text


def _texts(function: ast.AST) -> dict[str, ast.expr]:
    """Names that a function sets once."""
    found: dict[str, ast.expr] = {}
    many: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in found:
                many.add(name)
            found[name] = node.value
    return {name: value for name, value in found.items() if name not in many}


def _pattern(node: ast.expr, names: dict[str, ast.expr]) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_pattern(part, names) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _pattern(node.left, names) + _pattern(node.right, names)
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    if isinstance(inner, ast.Name) and isinstance(
        names.get(inner.id), (ast.JoinedStr, ast.Constant, ast.BinOp)
    ):
        value = names[inner.id]
        rest = {name: other for name, other in names.items() if name != inner.id}
        return _pattern(value, rest)
    return OPEN


def page() -> str:
    """Write the page: a heading a theme, a line a message."""
    parts = [_HEAD]
    found = messages()
    for title in dict.fromkeys(THEMES.values()):
        lines = sorted({message.text for message in found if message.theme == title})
        if lines:
            listed = "\n".join(f"- {_escaped(line)}" for line in lines)
            parts.append(f"## {title}\n\n{listed}\n")
    return "\n".join(parts)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>\[\]|#])", r"\\\1", text)


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
    print(f"{PAGE.relative_to(REPOSITORY)}: {len(messages())} messages")
