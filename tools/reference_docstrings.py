"""Docstrings as the site shows them: examples as code, names in place of roles of Sphinx.

mkdocstrings knows examples in a section of that name alone, and Markdown takes ``>>>`` for a quote
in a quote. ``mkdocs.yml`` names this file as an extension of griffe, which reads the docstrings.
"""

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:attr|class|func|meth|mod):`~?([^`]+)`")
# Indentation, prompt, and lines that follow until an empty one or the end.
_EXAMPLE = re.compile(r"^( *)>>> .*(?:\n(?! *$).+)*", re.MULTILINE)
_HEADING = re.compile(r"^ *Example:\n", re.MULTILINE)
_RETURNS = re.compile(r"^( *Returns:\n +)", re.MULTILINE)


class ReadableDocstrings(griffe.Extension):
    """Rewrites the docstring of every object once it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite.

        Args:
            obj: Module, class, function or attribute.
            **_: What else griffe passes.
        """
        if obj.docstring:
            returns = getattr(obj, "returns", None)
            obj.docstring.value = readable(obj.docstring.value, returns and str(returns))


def readable(text: str, returns: str | None = None) -> str:
    r"""A docstring in Markdown.

    Args:
        text: Without the indentation of its object.
        returns: Annotation of what it returns. Written in front, it keeps griffe from taking the
            words before a first colon for a type.

    Returns:
        The same with fenced examples, and names in place of roles.

    Example:
        >>> readable("See :func:`~a.b`.\n\nExample:\n    >>> 1 + 1\n    2").splitlines()
        ['See `a.b`.', '', '```pycon', '>>> 1 + 1', '2', '```']
    """
    text = _HEADING.sub("", _ROLE.sub(r"`\1`", text))
    if returns:
        text = _RETURNS.sub(rf"\1{returns}: ", text)
    return _EXAMPLE.sub(_fenced, text)


def _fenced(example: re.Match[str]) -> str:
    lines = [line.removeprefix(example[1]) for line in example[0].splitlines()]
    return "\n".join(["```pycon", *lines, "```"])
