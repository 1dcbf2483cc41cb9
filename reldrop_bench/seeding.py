"""Independent random streams, derived from names instead of from the order of calls."""

import hashlib
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
    """Seed torch's global generators inside the block and restore them behind it."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(*parts))
        yield
