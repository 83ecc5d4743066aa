"""Banks of images that several processes have gathered: each image once, and photos of sketches."""

import torch
from torch import Tensor


def first_of_each(index: Tensor) -> Tensor | None:
    """Rows of the first occurrence of each number, in the order of the numbers; None for all rows.

    >>> first_of_each(torch.tensor([4, 2, 4])), first_of_each(torch.tensor([0, 1]))
    (tensor([1, 0]), None)
    """
    order = torch.argsort(index, stable=True)
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = index[order][1:] != index[order][:-1]
    keep = order[first]
    return None if torch.equal(keep, torch.arange(len(index), device=keep.device)) else keep


def own_photos(instances: Tensor, gallery_instances: Tensor) -> Tensor | None:
    """Gallery position of the photo that each sketch shows, -1 for none, (Q,); None without any.

    Args:
        instances: Photo of each sketch, a number that both sides share, -1 for none, (Q,).
        gallery_instances: Number of each photo, (G,).

    >>> own_photos(torch.tensor([7, 5, -1]), torch.tensor([5, -1]))
    tensor([-1,  0, -1])
    """
    known = {
        number: position
        for position, number in reversed(list(enumerate(gallery_instances.tolist())))
    }
    known.pop(-1, None)
    targets = torch.tensor([known.get(number, -1) for number in instances.tolist()])
    return targets if (targets >= 0).any() else None
