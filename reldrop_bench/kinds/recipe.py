"""How a cell is trained, whatever regularizer it has."""

from collections.abc import Mapping
from typing import Any, Literal

import pydantic

Augmentation = Literal[
    "crop", "flip", "resized-crop", "rotate", "colour-jitter", "scale-shift", "turn", "jitter"
]
AUGMENTATIONS: Mapping[str, str] = {
    "crop": "image",
    "flip": "image",
    "resized-crop": "image",
    "rotate": "image",
    "colour-jitter": "image",
    "scale-shift": "cloud",
    "turn": "cloud",
    "jitter": "cloud",
}
"""The modality that each is for."""
TRAINED_KINDS: Mapping[str, frozenset[str]] = {
    "crop": frozenset({"shift", "translation"}),
    "resized-crop": frozenset({"scale", "shift", "translation"}),
    "rotate": frozenset({"rotation"}),
    "colour-jitter": frozenset({"brightness", "contrast", "saturation"}),
    "scale-shift": frozenset({"scale", "shift", "translation"}),
    "turn": frozenset({"rotation"}),
    "jitter": frozenset({"jitter"}),
}
"""The kinds of shift that training with an augmentation makes familiar."""


class Recipe(pydantic.BaseModel):
    """Training settings of a task; a spec's `recipe:` overrides single keys.

    `select: best-validation` keeps the weights of the epoch with the highest validation accuracy
    (the first of equals); test data never takes part. `schedule: cosine` goes to
    `final_learning_rate`; `step` multiplies by `decay` every `decay_epochs`. `warmup_epochs` before
    that the rate rises linearly. `accumulate` batches make one optimizer step; `clip` is the largest norm of
    its gradient. `average` is the decay of the moving average of weights, which is evaluated.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    epochs: int = pydantic.Field(default=10, ge=1, le=10**6)
    batch_size: int = pydantic.Field(default=128, ge=1, le=10**6)
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    learning_rate: float = pydantic.Field(default=0.1, gt=0)
    momentum: float = pydantic.Field(default=0.9, ge=0, lt=1)
    weight_decay: float = pydantic.Field(default=1e-4, ge=0)
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    final_learning_rate: float = pydantic.Field(default=1e-6, ge=0)
    decay: float = pydantic.Field(default=0.7, gt=0, le=1)
    decay_epochs: int = pydantic.Field(default=20, ge=1, le=10**6)
    augmentation: tuple[Augmentation, ...] = ()
    select: Literal["last", "best-validation"] = "last"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    nesterov: bool = False
    warmup_epochs: float = pydantic.Field(default=0.0, ge=0)
    label_smoothing: float = pydantic.Field(default=0.0, ge=0, lt=1)
    clip: float | None = pydantic.Field(default=None, gt=0)
    accumulate: int = pydantic.Field(default=1, ge=1, le=10**6)
    average: float | None = pydantic.Field(default=None, gt=0, lt=1)

    @pydantic.model_validator(mode="after")
    def _is_possible(self) -> "Recipe":
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ValueError("nesterov needs the optimizer sgd and a momentum above 0")
        if self.warmup_epochs > self.epochs:
            raise ValueError(f"warmup_epochs is above epochs = {self.epochs}")
        return self

    def components(self) -> dict[str, Any]:
        """Return what of it decides a result; what came later is left out where it is not used."""
        plain = self.model_dump(mode="json")
        fields = type(self).model_fields
        return {
            key: value
            for key, value in plain.items()
            if key not in LATER or value != fields[key].default
        }


LATER = ("nesterov", "warmup_epochs", "label_smoothing", "clip", "accumulate", "average")
"""Keys that cells have no need of that were computed before there were these: their own keys stay."""
RECIPES: Mapping[str, Mapping[str, Any]] = {
    # The configuration that the authors of RelDrop ship for images (arXiv 2505.21595).
    "paper-images": {
        "epochs": 100, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9,
        "weight_decay": 1e-4, "schedule": "cosine", "final_learning_rate": 1e-6, "augmentation": ("crop", "flip"),
    },
    # What the folder names of their ImageNet checkpoints say: 50 epochs, learning rate 0.01.
    "paper-images-50": {
        "epochs": 50, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.01, "momentum": 0.9,
        "weight_decay": 1e-4, "schedule": "cosine", "final_learning_rate": 1e-6, "augmentation": ("crop", "flip"),
    },
    "paper-clouds": {
        "epochs": 100, "batch_size": 32, "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 1e-4,
        "schedule": "step", "decay": 0.7, "decay_epochs": 20, "augmentation": ("scale-shift",),
    },
    # The 200 epochs that results of ResNet-18 on CIFAR are compared at.
    "cifar-resnet-200": {
        "epochs": 200, "batch_size": 128, "optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9,
        "weight_decay": 1e-4, "schedule": "cosine", "final_learning_rate": 0.0, "augmentation": ("crop", "flip"),
    },
    # Those of PointNet and PointNet++ on ModelNet.
    "pointnet-200": {
        "epochs": 200, "batch_size": 24, "optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 1e-4,
        "schedule": "step", "decay": 0.7, "decay_epochs": 20, "augmentation": ("scale-shift",),
    },
    "cpu-short": {
        "epochs": 5, "batch_size": 64, "optimizer": "adam", "learning_rate": 3e-3, "weight_decay": 1e-4,
        "schedule": "cosine",
    },
}  # fmt: skip
"""By name, what a recipe changes of a task's own."""
