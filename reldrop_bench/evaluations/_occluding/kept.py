"""Occluded inputs that are the same for every model, kept in memory for the next one."""

from collections.abc import Callable, Hashable

from torch import Tensor

LIMIT = 128 * 2**20
"""Bytes that are kept at most, in a process."""


class Kept:
    """What was made for one owner (a task with its data), up to `limit` bytes.

    The cells of a task come one after the other in a worker, and see the same masks and fills; what
    takes long to make, such as inpainting, is then made once. Another owner empties it. Beyond the
    limit nothing is added: what came first is asked for first again.
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._owner: Hashable = None
        self._found: dict[Hashable, Tensor] = {}
        self._bytes = 0

    def clear(self) -> None:
        """Forget everything."""
        self._owner, self._bytes = None, 0
        self._found.clear()

    def get(self, owner: Hashable, key: Hashable, make: Callable[[], Tensor]) -> Tensor:
        """Return what `make` returns for this owner and key, made now or before."""
        if owner != self._owner:
            self.clear()
            self._owner = owner
        if key in self._found:
            return self._found[key]
        made = make()
        if self._bytes + made.nbytes <= self.limit:
            self._found[key] = made
            self._bytes += made.nbytes
        return made


KEPT = Kept()
