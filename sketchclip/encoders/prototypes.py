"""The head of DINO's own checkpoints, which networks of timm come without."""

from pathlib import Path

from sketchclip.checkpoint import read_state_dict
from sketchclip.errors import SketchClipError
from sketchclip.nn import PrototypeHead

_OF_DINO = {"prototypes.weight": "last_layer.weight_v"}


def load_prototypes(head: PrototypeHead, path: str) -> None:
    """Load a head under the names that DINO's repository gives its tensors.

    Those are ``mlp.{0,2,4}.{weight,bias}`` and ``last_layer.weight_v``, with or without ``head.``
    before them; all else in the file is passed over.

    Args:
        head: Head to fill, of the same shape.
        path: State dict or safetensors.

    Raises:
        SketchClipError: If there is no such head.
    """
    if not Path(path).is_file():
        raise SketchClipError(_expected(path, "no file"))
    found = {name.removeprefix("head."): t for name, t in read_state_dict(Path(path)).items()}
    wrong = []
    for name, own in head.state_dict().items():
        theirs = _OF_DINO.get(name) or f"mlp.{name.removeprefix('project.')}"
        given = found.get(theirs)
        if given is None or given.shape != own.shape:
            shape = "none" if given is None else tuple(given.shape)
            wrong.append(f"{shape} in place of {theirs} {tuple(own.shape)}")
        else:
            own.copy_(given)  # a state dict shares its tensors with the module
    if wrong:
        raise SketchClipError(_expected(path, "; ".join(wrong)))


def _expected(path: str, found: str) -> str:
    return (
        f"model.prototype_head={path}: expected DINO's head over the embedding of the encoder, of "
        f"the sizes that model.prototypes, hidden and projection say, found {found}. Of DINO's "
        'full checkpoint, save the entry "teacher"; without a head, leave the option out.'
    )
