"""Plugins that change their process, each in a way of its own, for tests of what that costs others."""

from __future__ import annotations

from pathlib import Path

HOSTILE = '''
import os
import random
import sys

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from reldrop_bench import Batch, Regularizer, Step

ORIGINAL = F.cross_entropy


def replaced_loss(*arguments, **settings):
    return ORIGINAL(*arguments, **settings) * 3


class Hostile(Regularizer):
    """Changes its process in one way."""

    name = "hostile"
    how: str

    def transform(self, batch: Batch, step: Step) -> Batch:
        getattr(self, self.how)(step)
        return batch

    def loss(self, step):
        F.cross_entropy = replaced_loss

    def relu(self, step):
        torch.relu = F.relu = lambda inputs, inplace=False: inputs * 0.9

    def gradients(self, step):
        torch.set_grad_enabled(False)

    def dtype(self, step):
        torch.set_default_dtype(torch.float64)

    def threads(self, step):
        torch.set_num_threads(torch.get_num_threads() + 1)

    def seed(self, step):
        torch.manual_seed(0)

    def call(self, step):
        before = nn.Conv2d.__call__
        nn.Conv2d.__call__ = lambda self, inputs: before(self, inputs) * 0.5

    def numpy(self, step):
        np.random.seed(3)
        np.random.default_rng = lambda seed=None: np.random.Generator(np.random.PCG64(1))
        random.seed(3)
        random.random = lambda: 0.5

    def flags(self, step):
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.mkldnn.enabled = False
        torch.set_float32_matmul_precision("medium")

    def surroundings(self, step):
        os.environ["RELDROP_DATA"] = "/"
        os.chdir("/")
        sys.path.insert(0, "/")

    def harness(self, step):
        import reldrop_bench.data
        import reldrop_bench.running.training as training

        training.learning_rate = lambda recipe, progress, epoch: 0.0
        reldrop_bench.data.Batch.labels = property(lambda self: self.targets * 0)

    def hooks(self, step):
        nn.modules.module.register_module_forward_hook(lambda module, args, output: output * 0.99)
'''
"""A regularizer that does one thing to its process at every step."""

HOWS = {
    "loss": "torch.nn.functional.cross_entropy (replaced)",
    "relu": "torch.relu (replaced)",
    "gradients": "leaves gradients switched off",
    "dtype": "sets the default dtype to torch.float64",
    "threads": "torch's number of threads",
    "seed": "draws from a global random generator",
    "call": "torch.nn.Conv2d.__call__ (replaced)",
    "numpy": "numpy.random.default_rng (replaced)",
    "flags": "torch.backends.mkldnn.enabled (True → False)",
    "surroundings": "the working directory",
    "harness": "reldrop_bench.running.training.learning_rate (replaced)",
    "hooks": "torch.nn.modules.module._global_forward_hooks",
}
"""By what `how` may be: what is to be told of it."""

HOSTILE_IMPORT = '''
import os

import torch
import torch.nn.functional as F

from reldrop_bench import Regularizer

with open(os.path.join(os.path.dirname(__file__), "imported"), "a") as file:
    file.write(f"{os.getpid()}\\n")
ORIGINAL = F.cross_entropy
F.cross_entropy = lambda *arguments, **settings: ORIGINAL(*arguments, **settings) * 3
torch.set_default_dtype(torch.float64)
os.environ["RELDROP_TEST_OF_SURROUNDINGS"] = "changed"
os.chdir("/")


class HostileImport(Regularizer):
    """Does nothing but to be imported."""

    name = "hostile-import"
'''
"""A regularizer whose file changes the process that imports it, and notes which that was."""


def write_hostile_plugins(folder: Path) -> Path:
    """Write both into a plugin folder, and return it."""
    target = folder / "regularizers"
    target.mkdir(parents=True)
    (target / "hostile.py").write_text(HOSTILE, encoding="utf-8")
    (target / "hostile_import.py").write_text(HOSTILE_IMPORT, encoding="utf-8")
    return folder
