"""How a cell is trained, whatever regularizer it has."""

from collections.abc import Mapping
from typing import Literal

import pydantic

Augmentation = Literal["crop", "flip", "scale-shift"]
AUGMENTATIONS: Mapping[str, str] = {"crop": "image", "flip": "image", "scale-shift": "cloud"}
"""The modality that each is for."""
TRAINED_KINDS: Mapping[str, frozenset[str]] = {
    "crop": frozenset({"shift", "translation"}),
    "scale-shift": frozenset({"scale", "shift", "translation"}),
}
"""The kinds of shift that training with an augmentation makes familiar."""


class Recipe(pydantic.BaseModel):
    """Training settings of a task; a spec's `recipe:` overrides single keys.

    `select: best-validation` keeps the weights of the epoch with the highest validation accuracy
    (the first of equals); test data never takes part. `schedule: cosine` goes to
    `final_learning_rate`; `step` multiplies by `decay` every `decay_epochs`.
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
