"""Residual networks from torchvision, with a stem that fits the image."""

from typing import Literal, cast

from torch import nn

from reldrop_bench import Facts, Model

Stem = Literal["auto", "small", "imagenet"]
_IMAGENET_STEM_FROM = 64
"""The side in pixels from which the ImageNet stem leaves enough of the image."""


class ResNet(Model):
    """A residual network for images of any size.

    (B, C, H, W) → (B, classes). He et al., arXiv 1512.03385, as torchvision has it; the small stem
    is their CIFAR one: a 3x3 convolution of stride 1 and no max-pool.
    """

    modalities = {"image"}
    stem: Stem = "auto"
    """"auto" takes the small stem when a side of the image is shorter than 64 pixels."""

    def build(self, facts: Facts) -> nn.Module:
        from torchvision import models

        channels, *sides = facts.input_shape
        network = getattr(models, self.name)(num_classes=len(facts.classes))
        small = self.stem == "small" or (self.stem == "auto" and min(sides) < _IMAGENET_STEM_FROM)
        if small:
            network.conv1 = nn.Conv2d(channels, 64, 3, stride=1, padding=1, bias=False)
            network.maxpool = nn.Identity()
        elif channels != network.conv1.in_channels:
            network.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
        # torchvision's own initialisation, which a replaced convolution has not been through.
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
        return cast(nn.Module, network)


class ResNet18(ResNet):
    """The residual network of 18 layers."""

    name = "resnet18"


class ResNet34(ResNet):
    """The residual network of 34 layers."""

    name = "resnet34"


class ResNet50(ResNet):
    """The residual network of 50 layers, in blocks with a bottleneck."""

    name = "resnet50"
