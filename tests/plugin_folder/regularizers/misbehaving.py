"""Regularizers that fail in every way a plugin can."""

from __future__ import annotations

import os
import signal
import sys
import time
from typing import Literal

import torch

from reldrop_bench import Batch, Regularizer, Step


class Misbehaving(Regularizer):
    """Fails in the way that `how` says, at the third step."""

    name = "misbehaving"
    how: Literal["raise", "loop", "nan", "kill", "exit", "leave", "sys-exit", "memory"] = "raise"

    def transform(self, batch: Batch, step: Step) -> Batch:
        if step.epoch == 0 and step.progress < 0.2:
            return batch
        if self.how == "raise":
            raise RuntimeError("deliberately <b>broken</b> & $100 %")
        if self.how == "loop":
            while True:
                time.sleep(0.05)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "exit":
            os._exit(3)
        if self.how == "leave":
            os._exit(0)
        if self.how == "sys-exit":
            sys.exit(0)
        if self.how == "memory":
            hoard = []
            while True:
                hoard.append(torch.ones(2**26))
                time.sleep(0.05)
        return batch.replace(inputs=batch.inputs * float("nan"))
