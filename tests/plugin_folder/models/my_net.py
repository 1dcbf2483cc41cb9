"""A network of one's own."""

from __future__ import annotations

from torch import nn

from reldrop_bench import Count, Facts, Model


class MyNet(Model):
    """One convolution and one linear layer."""

    name = "my-net"
    modalities = {"image"}
    width: Count = 4
    """Channels of the convolution."""

    def build(self, facts: Facts) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(facts.input_shape[0], self.width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Linear(4 * self.width, len(facts.classes)),
        )
