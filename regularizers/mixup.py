"""Mixup: convex combinations of pairs of samples and of their targets."""

import numpy as np
import torch

from reldrop_bench import Batch, Positive, Probability, Regularizer, Step


class Mixup(Regularizer):
    """Mix each sample and its target with another one of the batch (Zhang, arXiv 1710.09412)."""

    name = "mixup"
    modalities = {"image"}
    off = {"probability": 0.0}

    probability: Probability = 1.0
    """The chance of a batch to be mixed."""
    alpha: Positive = 1.0
    """The share of a batch's first samples is drawn from Beta(alpha, alpha)."""

    def transform(self, batch: Batch, step: Step) -> Batch:
        if torch.rand(1, generator=step.generator).item() >= self.probability:
            return batch
        # torch draws a Beta from the global generator only.
        seed = int(torch.randint(2**62, (1,), generator=step.generator))
        share = float(np.random.default_rng(seed).beta(self.alpha, self.alpha))
        partner = torch.randperm(len(batch), generator=step.generator).to(batch.inputs.device)
        targets = batch.targets
        if targets.ndim == 1:
            targets = torch.nn.functional.one_hot(targets, len(step.facts.classes)).float()
        return batch.replace(
            inputs=share * batch.inputs + (1 - share) * batch.inputs[partner],
            targets=share * targets + (1 - share) * targets[partner],
        )
