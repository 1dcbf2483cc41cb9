"""The features that a network's last linear layer reads."""

import torch
from torch import Tensor, nn

from reldrop_bench.statistics.wording import counted


class FeaturesError(ValueError):
    """A network without penultimate features that could be measured; the message says why."""


@torch.no_grad()
def penultimate_features(model: nn.Module, inputs: Tensor) -> Tensor:
    """Return the input of the last ``nn.Linear`` that a forward pass calls: (B, d) float32.

    model: in evaluation mode, and left without a trace. inputs (B, …).

    Raises
    ------
    FeaturesError
        No such layer is called, or its input is not one finite vector a sample.
    """
    seen: list[Tensor] = []

    def remember(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        seen[:] = arguments[:1]

    handles = [
        module.register_forward_pre_hook(remember)
        for module in model.modules()
        if isinstance(module, nn.Linear)
    ]
    try:
        model(inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not seen:
        raise FeaturesError("the network calls no nn.Linear, whose input would be its features")
    (features,) = seen
    if features.ndim != 2 or len(features) != len(inputs):
        raise FeaturesError(
            f"the last nn.Linear reads {tuple(features.shape)}, not one vector for each of "
            f"{counted(len(inputs), 'sample')}"
        )
    if not features.isfinite().all():
        raise FeaturesError("the network's penultimate features are not all finite")
    return features.detach().float()
