"""RelDrop on single points of a cloud."""

from reldrop_bench import CloudFill, Probability

from ._threshold import ThresholdOcclusion


class RelDropPoints(ThresholdOcclusion):
    """Hide the points where alpha * u + (1 - alpha) * relevance >= 1 - beta (arXiv 2505.21595)."""

    name = "reldrop-points"
    modalities = {"cloud"}
    presets = {
        "paper": {"probability": 1.0, "positive": False, "fill": "first"},
        "authors-code": {"probability": 1.0, "positive": False, "fill": "origin"},
        "corrected": {},
    }

    probability: Probability = 0.5
    """Published is none, that is 1; at 0.5 the network also meets whole clouds, as it is tested."""
    fill: CloudFill = "duplicate"
