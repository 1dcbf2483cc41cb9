"""Point clouds in which four redundant cues signal the class: `cue-images` for clouds."""

import functools
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray

from reldrop_bench import Facts, NonNegative, Recipe, Shifts, Task, TensorSplit, TrainingSplits
from reldrop_bench.corruptions import CLOUD_LEVELS, corrupted, random_orders
from reldrop_bench.seeding import numpy_generator

from ._holdout import cut_validation
from .cue_images import Places, balanced_labels, cue_subsets, removal_name

CLASSES, CUES, STARS = 8, 4, 24
JITTERS = np.array([0.02, 0.04, 0.06, 0.08])
CENTRES = 0.5 * np.array([[-1, -1, -1], [-1, 1, 1], [1, -1, 1], [1, 1, -1]])
"""The regions' centres: four corners of a cube, all equally far apart."""
REACH = 0.4
"""Half the side of a region."""
OFFSET = 0.1
"""How far a region is shifted at most along each axis: then it touches the side of the cube."""


class CuePoints(Task):
    """8 classes, each signalled by 4 redundant constellations of growing jitter among clutter.

    Constellation k of a class is a fixed random set of 24 points in a region of the cube [-1, 1]³: one of
    four corners, which are dealt anew for each sample, shifted by a random offset; with
    `places="quadrants"` always corner k. In a shift ``removed-01`` the points of constellations 0 and 1
    are clutter instead; the rest, the order of points too, is the same. Masks: k + 1 on the points of
    constellation k.
    """

    name = "cue-points"
    modalities = {"cloud"}
    synthetic = True
    default_model = "pointnet"
    recipe = Recipe(
        epochs=12, batch_size=64, optimizer="adam", learning_rate=3e-3, weight_decay=1e-4
    )

    samples: Annotated[int, pydantic.Field(ge=2 * CLASSES)] = 1200
    """Training and validation clouds together."""
    test_samples: Annotated[int, pydantic.Field(ge=CLASSES)] = 1000
    """Test clouds."""
    places: Places = "anywhere"
    """Where cues lie: anywhere, or each in a corner of its own, so that a place alone says which it is."""
    jitter: NonNegative = 0.25
    """Factor of the standard deviations of the constellations' jitter, 0.02 … 0.08."""
    clutter: Annotated[int, pydantic.Field(ge=0)] = 32
    """Points that belong to no cue; a cloud has 96 more."""
    generation_seed: int = 0
    """Another one makes other data of the same kind."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.15
    """The share of the training data that validates."""

    def facts(self, root: Path | None) -> Facts:
        return Facts(
            modality="cloud",
            classes=tuple(f"class-{label}" for label in range(CLASSES)),
            input_shape=(3, CUES * STARS + self.clutter),
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            masks=True,
            cues=CUES,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return cut_validation(_split(self, "train", ()), self.validation, self.name, seed)

    def test(self, root: Path | None) -> TensorSplit:
        return _split(self, "test", ())

    def shifts(self, root: Path | None) -> Shifts:
        removed = {
            removal_name(cues): functools.partial(_split, self, "test", cues)
            for cues in cue_subsets(CUES)
        }
        return removed | dict(corrupted(lambda: self.test(root), self.name, CLOUD_LEVELS))


class Scene(NamedTuple):
    """All that is random of a part.

    labels: (N,) int64. cues: (N, K, 24, 3) float64, the jittered constellations. clutter:
    (N, points, 3) float64, what stands at each point where no cue does. order: (N, points) int64.
    """

    labels: NDArray[np.int64]
    cues: NDArray[np.float64]
    clutter: NDArray[np.float64]
    order: NDArray[np.int64]


@functools.lru_cache(maxsize=8)
def scene(task: CuePoints, part: str) -> Scene:
    """Draw everything random of the "train" or "test" `part`, each quantity from its own stream."""

    def stream(*what: str) -> np.random.Generator:
        return numpy_generator(task.name, task.generation_seed, *what)

    count = task.samples if part == "train" else task.test_samples
    points = CUES * STARS + task.clutter
    stars = stream("constellations").uniform(-REACH, REACH, (CLASSES, CUES, STARS, 3))
    labels = balanced_labels(count, CLASSES, stream(part, "labels"))
    jitter = stream(part, "jitter").standard_normal((count, CUES, STARS, 3))
    centres = np.broadcast_to(CENTRES, (count, CUES, 3))
    if task.places == "anywhere":
        corners = random_orders((count, CUES), stream(part, "places anywhere"))
        offsets = stream(part, "offsets").uniform(-OFFSET, OFFSET, (count, CUES, 3))
        centres = CENTRES[corners] + offsets
    return Scene(
        labels,
        stars[labels] + centres[:, :, None] + task.jitter * JITTERS[:, None, None] * jitter,
        stream(part, "clutter").uniform(-1, 1, (count, points, 3)),
        random_orders((count, points), stream(part, "order")),
    )


@functools.lru_cache(maxsize=4)
def _split(task: CuePoints, part: str, removed: tuple[int, ...]) -> TensorSplit:
    drawn = scene(task, part)
    clouds = drawn.clutter.copy()
    masks = np.zeros(clouds.shape[:2], np.uint8)
    for cue in sorted(set(range(CUES)) - set(removed)):
        place = slice(cue * STARS, (cue + 1) * STARS)
        clouds[:, place] = drawn.cues[:, cue]
        masks[:, place] = cue + 1
    shuffled = np.take_along_axis(clouds, drawn.order[:, :, None], 1).swapaxes(1, 2)
    return TensorSplit(
        torch.from_numpy(shuffled.astype(np.float32, order="C")),
        torch.from_numpy(drawn.labels),
        torch.from_numpy(np.take_along_axis(masks, drawn.order, 1)),
    )
