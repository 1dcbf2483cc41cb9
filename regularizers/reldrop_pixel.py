"""RelDrop on single pixels."""

from reldrop_bench import ImageFill, Probability

from ._threshold import ThresholdOcclusion


class RelDropPixel(ThresholdOcclusion):
    """Hide the pixels where alpha * u + (1 - alpha) * relevance >= 1 - beta (arXiv 2505.21595)."""

    name = "reldrop-pixel"
    modalities = {"image"}
    presets = {
        "paper": {"positive": False},
        "authors-code": {"positive": False, "fill": "channel-mean"},
        "corrected": {},
    }

    probability: Probability = 0.3
    alpha: Probability = 0.3
    fill: ImageFill = "mean"
