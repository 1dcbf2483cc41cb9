"""Relevance maps of training samples, kept from one epoch to another."""

import torch
from torch import Tensor


class RelevanceMemory:
    """A map for each training sample, in the coordinates of the sample before augmentation.

    Takes 4 bytes a pixel or point: 200 MB for 50,000 images of 32x32.

    Parameters
    ----------
    samples
        How many training samples there are.
    shape
        Of one map, (H, W) or (N,).
    device
        Where maps are kept: that of training.
    """

    def __init__(self, samples: int, shape: tuple[int, ...], device: torch.device) -> None:
        self._maps = torch.zeros((samples, *shape), device=device)
        self._epoch = torch.full((samples,), -1, device=device)
        """The epoch of each map, -1 where there is none."""

    def age(self, samples: Tensor, epoch: int) -> Tensor:
        """Return how many epochs ago the maps of `samples` (b,) were made; -1 where never."""
        made = self._epoch[samples]
        return torch.where(made < 0, made, epoch - made)

    def store(self, samples: Tensor, places: Tensor | None, maps: Tensor, epoch: int) -> None:
        """Keep maps (b, H, W) or (b, N) that were made in `epoch`.

        `places`, of the same shape, says for each element of a map which one of the sample it was
        before augmentation (flat index, -1 for padding); None where augmentation moved nothing.
        What a crop left out counts as without relevance.
        """
        if places is not None:
            flat = places.flatten(1)
            whole = maps.new_zeros(len(maps), 1 + self._maps[0].numel())
            whole.scatter_(1, flat + 1, maps.flatten(1))  # padding goes to a place of its own
            maps = whole[:, 1:].view(len(maps), *self._maps.shape[1:])
        self._maps[samples] = maps
        self._epoch[samples] = epoch

    def recall(self, samples: Tensor, places: Tensor | None) -> Tensor:
        """Return the maps of `samples` as their augmentation of today shows them."""
        maps = self._maps[samples]
        if places is None:
            return maps
        flat = places.flatten(1)
        found = maps.flatten(1).gather(1, flat.clamp(min=0))
        return found.masked_fill_(flat < 0, 0).view(places.shape)
