"""Images in which four redundant cues signal the class: feature diversity with a known answer."""

import functools
import itertools
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray

from reldrop_bench import Facts, NonNegative, Recipe, Shifts, Task, TensorSplit, TrainingSplits
from reldrop_bench.seeding import numpy_generator

from ._holdout import cut_validation

SIZE, CLASSES, CUES, GLYPH = 24, 8, 4, 5
Places = Literal["anywhere", "quadrants"]
CONTRASTS = np.array([1.0, 0.8, 0.6, 0.5])
WAVES = 3
"""The background holds the cosines of up to this many half periods along each side."""


class CueImages(Task):
    """8 classes, each signalled by 4 redundant glyphs of falling contrast on a noisy background.

    Glyph k of a class is a fixed random ±1 pattern of 5×5 pixels at a random place of 24×24, where it
    overlaps no other one; with `places="quadrants"` within quadrant k. A shift ``removed-01`` holds
    the test images without glyphs 0 and 1; the rest is the same. Masks: k + 1 where glyph k lies.
    """

    name = "cue-images"
    modalities = {"image"}
    synthetic = True
    default_model = "small-cnn"
    recipe = Recipe(
        epochs=12, batch_size=64, optimizer="adam", learning_rate=3e-3, weight_decay=1e-4
    )

    samples: Annotated[int, pydantic.Field(ge=2 * CLASSES)] = 1200
    """Training and validation images together."""
    test_samples: Annotated[int, pydantic.Field(ge=CLASSES)] = 1000
    """Test images."""
    places: Places = "anywhere"
    """Where cues lie: anywhere, or each in a quadrant of its own, so that a place alone says which it is."""
    noise: NonNegative = 0.32
    """Standard deviation of the white noise; the strongest glyph has contrast 1."""
    background: NonNegative = 0.3
    """Standard deviation of the smooth background."""
    generation_seed: int = 0
    """Another one makes other data of the same kind."""
    validation: Annotated[float, pydantic.Field(gt=0, lt=1)] = 0.15
    """The share of the training data that validates."""

    def facts(self, root: Path | None) -> Facts:
        mean, std = _moments(self)
        return Facts(
            modality="image",
            classes=tuple(f"class-{label}" for label in range(CLASSES)),
            input_shape=(1, SIZE, SIZE),
            mean=(mean,),
            std=(std,),
            masks=True,
            cues=CUES,
        )

    def splits(self, root: Path | None, seed: int) -> TrainingSplits:
        return cut_validation(_split(self, "train", ()), self.validation, self.name, seed)

    def test(self, root: Path | None) -> TensorSplit:
        return _split(self, "test", ())

    def shifts(self, root: Path | None) -> Shifts:
        return {
            removal_name(cues): functools.partial(_split, self, "test", cues)
            for cues in cue_subsets(CUES)
        }


def cue_subsets(cues: int) -> list[tuple[int, ...]]:
    """Return all non-empty subsets of 0 … cues-1, the smallest first."""
    sizes = range(1, cues + 1)
    return [chosen for size in sizes for chosen in itertools.combinations(range(cues), size)]


def removal_name(cues: tuple[int, ...]) -> str:
    """Return the name of the shift without `cues`, such as ``removed-01``."""
    return "removed-" + "".join(str(cue) for cue in cues)


def balanced_labels(count: int, classes: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return (count,) int64 classes in random order, each as often as the others (± 1)."""
    return generator.permutation(np.arange(count) % classes)


class Scene(NamedTuple):
    """Images before the glyphs are drawn.

    labels: (N,) int64. places: (N, K, 2) int64, top and left of each glyph. canvas: (N, H, W)
    float64, background and noise. glyphs: (classes, K, 5, 5) float64 of ±1.
    """

    labels: NDArray[np.int64]
    places: NDArray[np.int64]
    canvas: NDArray[np.float64]
    glyphs: NDArray[np.float64]


@functools.lru_cache(maxsize=8)
def scene(task: CueImages, part: str) -> Scene:
    """Draw everything random of the "train" or "test" `part`, each quantity from its own stream."""

    def stream(*what: str) -> np.random.Generator:
        return numpy_generator(task.name, task.generation_seed, *what)

    count = task.samples if part == "train" else task.test_samples
    bits = stream("glyphs").integers(0, 2, (CLASSES, CUES, GLYPH, GLYPH))
    glyphs = np.where(bits == 1, 1.0, -1.0)
    labels = balanced_labels(count, CLASSES, stream(part, "labels"))
    if task.places == "quadrants":
        half = SIZE // 2
        corners = half * np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
        offsets = stream(part, "places").integers(0, half - GLYPH + 1, (count, CUES, 2))
        places = corners + offsets
    else:
        places = separate_places(count, stream(part, "places anywhere"))
    waves = np.cos(np.pi * np.arange(1, WAVES + 1)[:, None] * (np.arange(SIZE) + 0.5) / SIZE)
    weights = stream(part, "background").standard_normal((count, WAVES, WAVES))
    # A cosine's mean square is 1/2 along each side, so the sum's standard deviation is WAVES / 2.
    smooth = np.einsum("nij,ih,jw->nhw", weights, waves, waves) * 2 / WAVES
    noise = stream(part, "noise").standard_normal((count, SIZE, SIZE))
    canvas = np.asarray(task.background * smooth + task.noise * noise, np.float64)
    return Scene(labels, places, canvas, glyphs)


def separate_places(count: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return (count, K, 2) int64, top and left of glyphs uniform over all places without an overlap."""
    places = np.zeros((count, CUES, 2), np.int64)
    first, second = np.triu_indices(CUES, 1)
    left = np.arange(count)
    while len(left):
        drawn = generator.integers(0, SIZE - GLYPH + 1, (len(left), CUES, 2))
        places[left] = drawn
        apart = np.abs(drawn[:, first] - drawn[:, second]).max(2) >= GLYPH
        left = left[~apart.all(1)]
    return places


@functools.lru_cache(maxsize=2)
def _moments(task: CueImages) -> tuple[float, float]:
    images, _ = draw(scene(task, "train"), ())
    return float(images.mean()), float(images.std())


@functools.lru_cache(maxsize=4)
def _split(task: CueImages, part: str, removed: tuple[int, ...]) -> TensorSplit:
    mean, std = _moments(task)
    drawn = scene(task, part)
    images, masks = draw(drawn, removed)
    inputs = torch.from_numpy(((images - mean) / std).astype(np.float32))[:, None]
    return TensorSplit(inputs, torch.from_numpy(drawn.labels), torch.from_numpy(masks))


def draw(scene: Scene, removed: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
    """Return images (N, H, W) and part indices (N, H, W) with all glyphs but the removed ones."""
    images = scene.canvas.copy()
    masks = np.zeros(images.shape, np.uint8)
    items = np.arange(len(images))[:, None, None]
    for cue in sorted(set(range(CUES)) - set(removed)):
        rows = scene.places[:, cue, 0, None, None] + np.arange(GLYPH)[:, None]
        columns = scene.places[:, cue, 1, None, None] + np.arange(GLYPH)
        images[items, rows, columns] += CONTRASTS[cue] * scene.glyphs[scene.labels, cue]
        masks[items, rows, columns] = cue + 1
    return images, masks
