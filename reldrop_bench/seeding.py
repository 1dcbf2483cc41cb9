"""Independent random streams, derived from names instead of from the order of calls."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch


def derive_seed(*parts: object) -> int:
    """Return a seed in [0, 2**63) that depends on nothing but the `parts` (by their ``str``)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def torch_generator(*parts: object) -> torch.Generator:
    """Return a CPU generator of its own for the stream that `parts` name."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def numpy_generator(*parts: object) -> np.random.Generator:
    """Return a numpy generator of its own for the stream that `parts` name."""
    return np.random.default_rng(derive_seed(*parts))


@contextmanager
def global_seed(*parts: object) -> Iterator[None]:
    """Seed the global generators of torch, numpy and Python inside the block; restore them behind it."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    seed = derive_seed(*parts)
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 - strangers' code draws there
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            np.random.seed(seed % 2**32)  # noqa: NPY002
            random.seed(seed)
            yield
    finally:
        np.random.set_state(numpy)  # noqa: NPY002
        random.setstate(python)
