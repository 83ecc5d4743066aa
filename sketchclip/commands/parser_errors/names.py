"""Names of options and classes, and those nearest to a name that does not exist."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from typing import Any, get_args

from sketchclip.commands.settings.class_names import load_all

INIT = ".init_args"
"""What stands in a config between a class and its arguments, and not in an option."""


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """Known names near to one that does not exist, the nearest first.

    Of dotted names the last words are compared: an option may live in another part.

    >>> nearest("model.n_prompts", ["model.init_args.adaptation.init_args.n_prompts", "data"])
    ['model.init_args.adaptation.init_args.n_prompts']
    >>> nearest("trainer.max_epoch", ["trainer.max_epochs", "trainer.max_steps"])
    ['trainer.max_epochs']
    """
    above, _, last = name.lower().rpartition(".")
    ends = {one: one.lower().rpartition(".")[2] for one in known}
    same = [one for one, end in ends.items() if end == last]
    close = {*get_close_matches(last, {*ends.values()}, n=3, cutoff=0.75)}
    found = [one for one, end in ends.items() if end in close or end.startswith(f"{last}_")]
    beside = [one for one in found if one.rpartition(".")[0].replace(INIT, "").lower() == above]
    group = above.partition(".")[0]
    within = [one for one in same or found if one.partition(".")[0].lower() == group]
    return ((same and within) or beside or same or within or found)[:3]


def advice(names: list[str]) -> str:
    """Sentence with the nearest names; empty if there is none."""
    return f" Nearest: {', '.join(names)}." if names else ""


def option_names(parser: Any, derived: bool = False) -> list[str]:
    """Options of a parser and arguments of the classes that it makes, as configs name them.

    Args:
        parser: Parser of a command.
        derived: Include arguments that only some of the classes have.
    """
    names: list[str] = []
    filled: set[str] = set()  # arguments that no user gives, as the parameters of an optimizer
    for action in parser._actions:
        skip = getattr(action, "sub_add_kwargs", {}).get("skip", ())
        filled |= {f"{action.dest}{INIT}.{name}" for name in skip}
        if isinstance(action.choices, dict):  # parsers of commands within the command
            names += [name for inside in action.choices.values() for name in option_names(inside)]
        long = [text[2:] for text in action.option_strings if text.startswith("--")]
        names += [name for name in long if not name.endswith("help") and name != "extends"]
    for option, hint in hints(parser).items():
        for base in classes_in(hint):
            for kind in known_classes(base) if derived and "." not in option else [base]:
                names.extend(argument_names(kind, option + INIT))
    return [name for name in names if ".".join(name.split(".")[:3]) not in filled]


def argument_names(kind: type, prefix: str) -> Iterator[str]:
    """Arguments of a class and of the classes that may be given for them."""
    for name, hint in _arguments(kind).items():
        yield f"{prefix}.{name}"
        for base in classes_in(hint):
            for part in known_classes(base):
                for inside in _arguments(part):
                    yield f"{prefix}.{name}{INIT}.{inside}"


@cache
def _arguments(kind: type) -> dict[str, Any]:
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False)
    try:
        parser.add_class_arguments(kind, fail_untyped=False)
    except (TypeError, ValueError, AttributeError):  # a class that no config can make
        return {}
    return hints(parser)


def hints(parser: Any) -> dict[str, Any]:
    """Options of a parser and their types."""
    return {
        action.dest: getattr(action, "_typehint", None)
        for action in parser._actions
        if not action.dest.endswith("help")
    }


def hint_of(parser: Any, keys: list[str], kinds: list[type]) -> Any:
    """Type of an option.

    Args:
        parser: Parser of the command.
        keys: Its option, then arguments of the classes inside.
        kinds: Classes of the option, of the first argument and so on.
    """
    if len(keys) == 1:
        return hints(parser).get(keys[0])
    inside = kinds[len(keys) - 2 : len(keys) - 1] if keys else []
    return _arguments(inside[0]).get(keys[-1]) if inside else None


def classes_in(hint: Any) -> list[type]:
    """Classes that a type names, those of Python left out.

    >>> from logging import Filter
    >>> [kind.__name__ for kind in classes_in(list[Filter] | None)], classes_in(int)
    (['Filter'], [])
    """
    if get_args(hint):
        return [kind for part in get_args(hint) for kind in classes_in(part)]
    plain = not isinstance(hint, type) or hint.__module__ in ("builtins", "pathlib", "datetime")
    return [] if plain else [hint]


def known_classes(base: type[Any]) -> Iterator[type]:
    """A class and those derived from it, of this package and of what a run has loaded."""
    load_all()
    yield from _derived(base)


def _derived(base: type[Any]) -> Iterator[type]:
    yield base
    for kind in base.__subclasses__():
        yield from _derived(kind)
