"""RelDrop with many small patches on the relevant places."""

from torch import Tensor

from reldrop_bench import Count, Step, shape

from .reldrop_block import RelDropBlock


class RelDropPatch(RelDropBlock):
    """A patch around each of the k most relevant pixels is hidden (arXiv 2505.21595).

    The patches of a sample share one block's area: each has a k-th of it, and an aspect of its own.
    """

    name = "reldrop-patch"
    presets = {
        "paper": {"border": "clip"},
        "authors-code": {"per": "batch", "single": True, "fill": "channel-mean", "border": "clip"},
        "corrected": {},
    }

    k: Count = 5
    """How many of the most relevant pixels have a patch."""
    single: bool = False
    """Whether only one of the k patches is hidden, so that a larger k hides less."""

    @property
    def patches(self) -> int:
        return 1 if self.single else self.k

    @property
    def sharing(self) -> int:
        return self.k

    def centres(self, scores: Tensor, step: Step) -> Tensor:
        if self.single:
            return super().centres(scores, step)
        return shape.top_elements(scores, self.k, step.stream("place"))
