"""How a method is put together: parts that a config chooses, and copies for each side."""

import copy
import inspect
from typing import Any, TypeVar

from torch import nn

from data_modules.batch import SIDES

Part = TypeVar("Part", bound=nn.Module)


def compose(method: Any, name: str, part: Part) -> Part:
    """Take a part that a constructor was given, and keep its settings as a hyper-parameter.

    A module among the hyper-parameters would make checkpoints unreadable without unpickling; its
    class and arguments, written as a config has them, say the same.

    Args:
        method: LightningModule whose constructor it is; it has called
            ``save_hyperparameters(ignore=(name, ...))``.
        name: Name of the argument.
        part: Keeps each argument of its constructor as an attribute of that name.

    Returns:
        A copy of its own, or a new instance in place of a default, which all calls share.
    """
    settings: Any = getattr(part, "lazy_get_init_args", None)
    if settings is not None:  # jsonargparse.lazy_instance in a signature
        part = type(part).__bases__[1](**settings().as_dict())
    part = copy.deepcopy(part)  # two methods that are given the same one must not share parameters
    method.save_hyperparameters(
        {name: describe(part), "_instantiator": "lightning.pytorch.cli.instantiate_module"}
    )
    return part


def for_each_side(layer: nn.Module) -> nn.ModuleDict:
    """Copies of a layer, one for sketches and one for photos, equal at the start.

    Two layers that start at random tear the sides of a pretrained encoder apart.
    """
    return nn.ModuleDict({side: copy.deepcopy(layer) for side in SIDES})


def describe(part: nn.Module) -> dict[str, Any]:
    """Class and arguments of a part, as a config has them: ``class_path`` and ``init_args``.

    The part keeps each argument of its constructor as an attribute of that name.
    """
    known = inspect.signature(type(part)).parameters.values()
    # A class without a constructor of its own has the *args and **kwargs of torch's.
    names = [p.name for p in known if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    path = f"{type(part).__module__}.{type(part).__qualname__}"
    return {"class_path": path, "init_args": {name: getattr(part, name) for name in names}}
