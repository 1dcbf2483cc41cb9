"""A convolutional network for small images, fast on one CPU thread."""

from torch import nn

from reldrop_bench import Count, Facts, Model


class SmallCNN(Model):
    """A plain stack of 3x3 convolutions for images of about 8 to 32 pixels.

    Convolution, batch norm, ReLU, `depth` times; the width doubles and a max-pool halves the image
    after every second one, as long as 2 pixels a side remain. Global average pooling and one linear
    layer follow. (B, C, H, W) → (B, classes). A small VGG: Simonyan & Zisserman, arXiv 1409.1556.
    """

    name = "small-cnn"
    modalities = {"image"}
    width: Count = 16
    """Channels of the first convolution."""
    depth: Count = 5
    """Number of convolutions."""

    def build(self, facts: Facts) -> nn.Module:
        channels, side = facts.input_shape[0], min(facts.input_shape[1:])
        layers: list[nn.Module] = []
        for index in range(self.depth):
            width = self.width * 2 ** (index // 2)
            layers += [
                nn.Conv2d(channels, width, 3, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            if index % 2 == 1 and side >= 4:
                layers.append(nn.MaxPool2d(2))
                side //= 2
            channels = width
        classes = len(facts.classes)
        return nn.Sequential(
            *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
        )
