"""The baseline: nothing but the recipe's own weight decay and augmentation."""

from reldrop_bench import Regularizer


class NoRegularizer(Regularizer):
    """No regularizer: the recipe alone, weight decay included."""

    name = "none"
    off = {}
