"""Messages of jsonargparse and argparse, shortened to what was expected and what was found."""

import re
from inspect import isabstract
from pkgutil import resolve_name
from typing import Any

from sketchclip.commands.parser_errors.given import Given
from sketchclip.commands.parser_errors.names import (
    INIT,
    advice,
    argument_names,
    classes_in,
    hint_of,
    known_classes,
    nearest,
    option_names,
)

_KINDS = {
    **{"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"},
    "dict": "a mapping",
}
_KEY = re.compile(r'Parser key "([^"]+)":')
_OF_CLASS = re.compile(r"Problem with given class_path '([^']+)':")
_NEEDS = re.compile(
    r"Problem with given class_path '([^']+)':\s+the following arguments are required: (.+)"
)
_UNKNOWN = re.compile(r"Option '([^']+)' is not accepted|does not accept option '([^']+)'")
_NO_CLASS = re.compile(
    r"Expected a dot import path string: (.*)|Import path ?(\S*) does not correspond to a subclass"
    r"|Problem with given class_path '([^']+)':\s+(?:No module named|module .* has no attribute)"
)
_NESTED = re.compile(r"NestedArg\(key='.*?', val=(.*)\)$", re.MULTILINE)


def short_error(message: str, parser: Any = None, given: Given | None = None) -> str:
    r"""Shorten what a parser says; messages of another form stay.

    Args:
        message: Text of the error.
        parser: Parser of the command, which knows its options.
        given: What the user gave, to tell an option from a line of a file.

    >>> short_error('Parser key "data.seed": Expected a <class \'int\'>. Got value: x')
    "--data.seed: expected a whole number, found 'x'."
    """
    given = given or Given()
    forms = (
        *(
            _unrecognized,
            _bad_choice,
            _no_choice,
            _required,
            _no_value,
            _no_file,
            _unknown_option,
            _incomplete,
        ),
        *(_no_class, _wrong_type),
    )
    return next((text for form in forms if (text := form(message, parser, given))), message)


def _unrecognized(message: str, parser: Any, _: Given) -> str:
    told = re.fullmatch(r"unrecognized arguments: (\S+)(.*)", message, re.DOTALL)
    if not told:
        return ""
    if not told[1].startswith("-"):
        return f"expected an option, --NAME VALUE, found {told[1]!r}."
    option = told[1].partition("=")[0]
    known = option_names(parser) if parser else []
    return f"{option}: unknown option.{_options(nearest(option.lstrip('-'), known))}"


def _bad_choice(message: str, *_: Any) -> str:
    told = re.fullmatch(r"(?:argument )?(\S+): invalid choice: (.+) \(choose from (.+)\)", message)
    if not told:
        return ""
    name, found, known = told[1], told[2].strip("'"), told[3].replace("'", "").split(", ")
    near = advice(nearest(found, known))
    return f"{name}: expected one of {', '.join(known)}, found {found!r}.{near}"


def _no_choice(message: str, parser: Any, _: Given) -> str:
    """An argument by position that was left out, and has few values."""
    told = re.fullmatch(r"the following arguments are required: (\w+)", message)
    for action in parser._actions if told and parser else ():
        if told and action.dest == told[1] and action.choices:
            return f"{told[1]}: expected one of {', '.join(action.choices)}, found none."
    return ""


def _required(message: str, *_: Any) -> str:
    """A class that neither an option nor a config names; other commands say it plainly."""
    told = re.fullmatch(r"the following arguments are required: (\w+\.\w+.*)", message)
    if not told:
        return ""
    names = ", ".join(f"--{name.partition('.')[2]}" for name in told[1].split(", "))
    return f"{names}: expected the name of a class, found none. Name it, or a --config that does."


def _no_value(message: str, _: Any, given: Given) -> str:
    told = re.fullmatch(r"argument (?:\S+/)?(--\S+): expected one argument", message)
    if not told:
        return ""
    ends = [
        arg
        for arg, after in given.pairs()
        if f"{arg}.".startswith(f"{told[1]}.") and (not after or after.startswith("--"))
    ]
    return f"{[told[1], *ends][-1]}: expected a value, found none."


def _no_file(message: str, _: Any, given: Given) -> str:
    """A group of settings may be the name of a file that holds them."""
    told = re.match(r'Parser key "([^"]+)":\s+Unable to load config \'(.*)\'', message)
    if not told:
        return ""
    return (
        f"{given.source(told[1])[0]}: expected a mapping of settings or the name of a YAML file "
        f"with one, found {told[2]!r}."
    )


def _unknown_option(message: str, parser: Any, given: Given) -> str:
    found = _UNKNOWN.search(message)
    if not found:
        return ""
    before = message[: found.start()]
    keys, classes = _KEY.findall(before), _OF_CLASS.findall(before)
    group = re.search("Group '([^']+)' $", before)
    key = ".".join([*([group[1]] if group else keys), found[1] or found[2]])
    where, in_file = given.source(key)
    kind = _class(classes[-1]) if classes else None
    if kind is not None and kind in classes_in(hint_of(parser, keys, [])) and not in_file:
        option = where.rpartition(".")[0]
        return f"{where}: an option of which class? Name it, too: {option} CLASS."
    own = argument_names(kind, f"{INIT}.".join(keys) + INIT) if kind else ()
    near = nearest(key, own) or nearest(key, option_names(parser) if parser else [])
    of = f" of {classes[-1].rpartition('.')[2]}" if classes else ""
    what = "key" if in_file else "option"
    return f"{where}: unknown {what}{of}.{advice(near) if in_file else _options(near)}"


def _incomplete(message: str, _: Any, given: Given) -> str:
    """A class that cannot do without some of its options."""
    found = _NEEDS.search(message)
    if not found or not (keys := _KEY.findall(message[: found.start()])):
        return ""
    key, name = ".".join(keys), found[1].rpartition(".")[2]
    needed = ", ".join(f"--{key}.{option}" for option in found[2].split(", "))
    return f"{given.source(key)[0]}: {name} needs {needed}."


def _no_class(message: str, parser: Any, given: Given) -> str:
    found = _NO_CLASS.search(message)
    if not found:
        return ""
    before = message[: found.start()]
    keys, kinds = _KEY.findall(before), [_class(name) for name in _OF_CLASS.findall(before)]
    name = next((text for text in found.groups() if text), None) or _found(message) or ""
    bases = classes_in(hint_of(parser, keys, kinds) if parser else None)
    loaded = [kind for base in bases for kind in known_classes(base)]
    known = [kind.__name__ for kind in loaded if not isabstract(kind)]
    near = advice(nearest(name.rpartition(".")[2], known))
    which = " or ".join(dict.fromkeys(base.__name__ for base in bases))
    what = f"the name of a class ({which})" if which else "the name of a class"
    where, _ = given.source(".".join(keys), name)
    return f"{where}: expected {what}, found {name!r}.{near}"


def _wrong_type(message: str, _: Any, given: Given) -> str:
    keys, inner = _KEY.findall(message), message.rpartition('Parser key "')[2]
    found = _found(inner)
    form = r"Expected an? (.+?)(?:\. Got value: .*)?$|Not a valid subclass of (\w+)"
    words = [_in_words(*told) for told in re.findall(form, inner, re.MULTILINE)]
    expected = " or ".join(dict.fromkeys(word for word in words if word))
    if not keys or found is None or not expected:
        return ""
    where, _ = given.source(".".join(keys), found)
    return f"{where}: expected {expected}, found {found!r}."


def _in_words(kind: str, base: str) -> str:
    """A type of Python, or the base of a class, for people; empty for None and unknown ones."""
    if base:
        return f"the name of a class ({base})"
    if listed := re.fullmatch(r".*Literal\[(.*)\]", kind):
        return listed[1].replace("'", "")
    if re.search("[Ll]ist|Iterable|[Ss]equence", kind):
        return "a list"
    plain = re.fullmatch(r"<class '(\w+)'>", kind)
    return _KINDS.get(plain[1], "") if plain else ""


def _found(message: str) -> str | None:
    """Value that a message is about."""
    if nested := _NESTED.search(message):
        return nested[1].strip("'")
    found = re.search(r"(?:Got value|Given value): (.*)", message)
    return found[1] if found else None


def _options(names: list[str]) -> str:
    """Sentence with the nearest options, as they are typed."""
    return advice([f"--{name.replace(INIT, '')}" for name in names])


def _class(path: str) -> Any:
    try:
        return resolve_name(path)
    except (ImportError, AttributeError, ValueError):
        return None
