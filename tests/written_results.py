"""Made-up results of every kind: complete, with holes, with hostile names, empty."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reldrop_bench.results import (
    CELL_COLUMNS,
    CURVE_COLUMNS,
    EPOCH_COLUMNS,
    EXAMPLE_COLUMNS,
    IDENTITY,
    METRIC_COLUMNS,
    NOTE_COLUMNS,
    SAMPLE_COLUMNS,
    ItemTable,
    Results,
)

TASKS = {
    "digits": {"modality": "image", "input_shape": [1, 8, 8], "cues": 0},
    "cue-images": {"modality": "image", "input_shape": [1, 24, 24], "cues": 4},
    "cue-points": {"modality": "cloud", "input_shape": [3, 160], "cues": 4},
}
LABELS = ("none", "cutout", "guided block", "guided, random score", "points k=10", "mixing")
PARAMETERS: dict[str, dict[str, Any]] = {
    "none": {"regularizer": "none"},
    "cutout": {"regularizer": "cutout", "size": 0.5, "fill": "mean"},
    "guided block": {"regularizer": "block", "k": 10, "score": "relevance", "relevance": "rule-a"},
    "guided, random score": {"regularizer": "block", "k": 10, "score": "random"},
    "points k=10": {"regularizer": "points", "k": 10},
    "mixing": {"regularizer": "mixing", "alpha": 1.0},
}
SWEPT: dict[str, dict[str, Any]] = {
    "none": {"regularizer": "none"},
    **{
        f"block k={k}": {"regularizer": "block", "k": k, "p": 0.5, "relevance": "rule-a"}
        for k in (1, 10, 100, 1000)
    },
    "block p=0.25": {"regularizer": "block", "k": 10, "p": 0.25, "relevance": "rule-a"},
    "block gradient": {"regularizer": "block", "k": 10, "p": 0.5, "relevance": "gradient"},
    **{
        f"points {alpha}/{beta}": {"regularizer": "points", "alpha": alpha, "beta": beta}
        for alpha in (0.25, 0.5, 0.75)
        for beta in (0.3, 0.6)
    },
}
"""By label: one parameter at a time of a block, all pairs of two parameters of points."""

TRACEBACK = """Traceback (most recent call last):
  File "cell.py", line 210, in run
    train(model)
RuntimeError: loss is NaN at step 12
"""
ITEMS = 60
"""Test items a task."""
SHIFTS = [
    f"{kind}/{level}" for kind in ("noise", "blur", "contrast", "rotation") for level in (1, 2)
]
SUBSETS = ("none", "0", "1", "2", "3", "01", "23", "012", "123")
FRACTIONS = np.linspace(0, 0.9, 7)
METHODS = ("rule-a", "gradient")
MAPS = ("attribution_entropy", "gini", "mass_coverage")
FEATURES = ("effective_rank", "participation_ratio", "vendi_score")
AGREEMENT = ("linear_cka", "prediction_disagreement", "error_disagreement", "error_kappa")
QUANTUS = {
    "complexity/Complexity": 5.5,
    "complexity/EffectiveComplexity": 488.0,
    "faithfulness/PixelFlipping": 0.013,
    "robustness/AvgSensitivity": 0.4,
}
DIRECTIONS = {
    "accuracy": "higher",
    "attribution_entropy": "higher",
    "gini": "lower",
    "effective_rank": "higher",
    "localisation/AUC": "higher",
    "complexity/Complexity": "neither",
    "faithfulness/PixelFlipping": "lower",
}


def declared(metrics: list[dict[str, Any]]) -> dict[tuple[str, str], tuple[str, str]]:
    """Return what their evaluations say of metrics; see `Results.declared`."""
    return {
        (row["evaluation"], row["metric"]): (DIRECTIONS[row["metric"]], "")
        for row in metrics
        if row["metric"] in DIRECTIONS
    }


LEFT_OUT = (
    ("digits", "cutout", 0, "gini"),
    ("digits", "cutout", 1, "rule-a/inpaint/srg/probability"),
    ("digits", "cutout", 1, "error_kappa"),
    ("digits", "cutout", 1, "epochs_to_0.5"),
    ("digits", "mixing", 0, "passes_per_step"),
    ("digits", "mixing", 1, "complexity/Complexity"),
    ("cue-images", "cutout", 2, "cue_agreement"),
)
"""Task, label, seed and metric of what evaluations have no value for in `with_holes`."""

Make = Callable[..., Results]


def build(
    labels: tuple[str, ...] = LABELS,
    tasks: tuple[str, ...] = tuple(TASKS),
    seeds: int = 3,
    gains: tuple[float, ...] = (0.0, 0.01, 0.05, -0.01, 0.03, -0.04),
    failed: tuple[tuple[str, str, int], ...] = (),
    missing: tuple[tuple[str, str, int], ...] = (),
    error: str = "RuntimeError: loss is NaN at step 12",
    left_out: tuple[tuple[str, str, int, str], ...] = (),
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
    traceback: str = TRACEBACK,
) -> Results:
    """Build results; `failed` and `missing` name cells as (task, label, seed).

    `left_out`: (task, label, seed, metric) that the evaluations have no value for, but a note.
    A task may be a name of `TASKS` with a number, "digits 2": another one like that. `parameters`:
    by label, those of `PARAMETERS` unless given.
    """
    random = np.random.default_rng(0)
    facts = {task: TASKS[task.partition(" ")[0]] for task in tasks}
    cells, metrics, curves, samples, epochs, notes = [], [], [], [], [], []
    examples = []
    for task in tasks:
        cloud, cues = facts[task]["modality"] == "cloud", facts[task]["cues"]
        shape = tuple(facts[task]["input_shape"])
        pictures = random.normal(size=(3, *shape))
        for seed in range(seeds):
            luck = random.normal(0, 0.01)
            for place, label in enumerate(labels):
                cell = (task, label, seed)
                status = "failed" if cell in failed else "missing" if cell in missing else "done"
                identity = dict(
                    zip(
                        IDENTITY,
                        (f"{task}-{place}-{seed}", task, "net", "plugin", label, seed),
                        strict=True,
                    )
                )
                guided = "guided" in label
                done = status == "done"
                cells.append(
                    identity
                    | {
                        "relevance": "rule-a" if guided else "",
                        "status": status,
                        "error": error if status == "failed" else "",
                        "traceback": traceback if status == "failed" else "",
                        "train_seconds": 5.0 + place if done else np.nan,
                        "step_seconds": 0.01 * (1 + 0.4 * place + random.uniform(0, 0.1))
                        if done
                        else np.nan,
                        "explained": 5000.0 * guided if done else np.nan,
                        "occluded_fraction": 0.2 if done and place else np.nan,
                        "peak_memory": 3e8 if done else np.nan,
                        "energy": 900.0 + 100 * place if done else np.nan,
                        "parameters": 1e5,
                        "epochs": 6.0,
                        "samples": 10000.0,
                        "warnings": ["a warning of the library"] if place == 1 else [],
                        "deviations": [],
                    }
                )
                if not done:
                    continue
                gain = gains[place % len(gains)] + luck + random.normal(0, 0.004)
                clean = 1.0 if cues and not cloud else float(np.clip(0.93 + gain / 3, 0, 1))

                def metric(evaluation: str, split: str, name: str, value: float, identity=identity):
                    row = {"evaluation": evaluation, "split": split, "metric": name}
                    if (identity["task"], identity["label"], identity["seed"], name) in left_out:
                        notes.append(identity | row | {"reason": "undefined"})
                    else:
                        metrics.append(identity | row | {"value": value})

                def curve(evaluation: str, name: str, values: np.ndarray, identity=identity):
                    row = {"evaluation": evaluation, "split": "test", "metric": name}
                    for x, value in zip(FRACTIONS, values, strict=True):
                        curves.append(identity | row | {"x": x, "value": value})

                metric("accuracy", "test", "accuracy", clean)
                metric("accuracy", "test", "class_mean_accuracy", clean - 0.002)
                examples.append(_predictions(identity, clean, place))
                for name in ("ece", "rms_calibration_error", "brier", "nll"):
                    metric("calibration", "test", name, 0.05 + abs(gain))
                shifts = [f"removed-{subset}" for subset in SUBSETS[1:]] if cues else SHIFTS
                for number, shift in enumerate(shifts):
                    metric("shifts", shift, "accuracy", clean - 0.05 * (number % 5) + gain)
                for order in ("random", "mask", "reference") if cues else ("random",):
                    for fill in (
                        ("duplicate", "noise", "origin") if cloud else ("mean", "noise", "blur")
                    ):
                        drop = clean * np.exp(-(1.5 - 4 * gain) * FRACTIONS)
                        curve("occlusion", f"{order}/{fill}/accuracy", drop)
                        metric("occlusion", "test", f"{order}/{fill}/auc", drop.mean())
                        metric(
                            "occlusion",
                            "test",
                            f"{order}/{fill}/normalised_auc",
                            drop.mean() / clean,
                        )
                metric("occlusion", "test", "clean_accuracy", clean)
                if cues:
                    for subset in SUBSETS:
                        lost = 0 if subset == "none" else 0.2 * len(subset)
                        metric("cues", f"removed-{subset}", "accuracy", clean - lost + 2 * gain)
                    for name in ("effective_cues", "causal_effective_cues"):
                        metric("cues", "test", name, 3 + gain)
                    for name in ("cue_agreement", "cue_rank_agreement", "sample_cue_agreement"):
                        metric("cues", "test", name, 0.8 + gain)
                    metric("cues", "test", "without_cue_mass", 2.0 * cloud)
                    for cue in range(4):
                        metric("cues", "test", f"cue_{cue}_mass", 0.25)
                        metric("cues", "test", f"cue_{cue}_shapley", 0.22 + gain)
                in_masks = ("relevance_mass_accuracy", "in_mask_entropy") if cues else ()
                for split in ("test", "randomised-weights"):
                    for name in ("samples", *MAPS, *in_masks, *FEATURES):
                        noise = 0.2 * (split != "test")
                        metric("diversity", split, name, 0.6 + gain + noise + 4 * ("rank" in name))
                for name in AGREEMENT:
                    if place:
                        metric("agreement", "to-baseline", name, 0.7 + gain)
                    if seed:
                        metric("agreement", "between-seeds", name, 0.5 + gain)
                for fill in ("duplicate", "resample") if cloud else ("mean", "inpaint"):
                    for method in (*METHODS, "random-order"):
                        ways = ("mrf/", "lrf/") if method in METHODS else ("",)
                        for way in ways:
                            height = {"mrf/": 0.2, "lrf/": 0.7}.get(way, 0.5) + gain
                            for quantity in ("accuracy", "probability"):
                                name = f"{method}/{fill}/{way}{quantity}"
                                curve("faithfulness", name, height * (1 - FRACTIONS))
                                metric("faithfulness", "test", f"{name}/area", height)
                    for method in METHODS:
                        metric("faithfulness", "test", f"{method}/{fill}/srg/accuracy", 0.5)
                        metric("faithfulness", "test", f"{method}/{fill}/srg/probability", 0.45)
                metric("faithfulness", "test", "rule-a/constant_maps", 3.0 * (place == 1))
                for name, value in QUANTUS.items():
                    metric("quantus", "test", name, value * (1 + gain))
                metric("quantus", "test", "samples", 16)
                if cues:
                    metric("quantus", "test", "localisation/AUC", 0.8 + gain)
                metric("cost", "test", "passes_per_step", 3.0 + guided)
                if guided:
                    metric("cost", "test", "explanation_passes", 3.1)
                metric("generalization", "test", "accuracy_gap", 0.03 + gain)
                metric("generalization", "test", "loss_gap", 0.05 - gain)
                metric("generalization", "validation", "epochs_to_0.5", 2 + seed)
                metric("generalization", "validation", "best_validation_epoch", 5)
                if seed == 0:
                    for item, picture in enumerate(pictures):
                        arrays = {
                            "input": picture,
                            "relevance": random.normal(size=shape[1:]),
                            "label": np.array([item]),
                            "shape": np.array(shape),
                        }
                        if place:
                            hidden = random.uniform(size=shape[1:]) < 0.2
                            arrays["occluded"] = hidden
                            arrays["occluded_input"] = np.where(hidden, 0.0, picture)
                        for name, values in arrays.items():
                            flat = np.asarray(values, dtype=np.float64).ravel()
                            frame = pd.DataFrame({"x": np.arange(len(flat)), "value": flat})
                            extra = {"evaluation": "gallery", "split": "test", "metric": name}
                            samples.append(frame.assign(**identity, **extra, item=item))
                epochs += [
                    identity
                    | dict.fromkeys(EPOCH_COLUMNS[6:], 0.1)
                    | {
                        "epoch": epoch,
                        "train_loss": 2.0 / (1 + epoch),
                        "clean_train_accuracy": 1 - 0.4 / (1 + epoch),
                        "validation_accuracy": clean * (1 - 0.5 / (1 + epoch)),
                    }
                    for epoch in range(6)
                ]
    return Results(
        name="made-up",
        baseline=labels[0],
        labels=labels,
        cells=pd.DataFrame(cells, columns=list(CELL_COLUMNS)),
        metrics=pd.DataFrame(metrics, columns=list(METRIC_COLUMNS)),
        curves=pd.DataFrame(curves, columns=list(CURVE_COLUMNS)),
        by_item=ItemTable.of(pd.concat(examples, ignore_index=True)[list(EXAMPLE_COLUMNS)])
        if examples
        else ItemTable(),
        samples=pd.concat(samples)[list(SAMPLE_COLUMNS)]
        if samples
        else pd.DataFrame(columns=list(SAMPLE_COLUMNS)),
        epochs=pd.DataFrame(epochs, columns=list(EPOCH_COLUMNS)),
        notes=pd.DataFrame(notes, columns=list(NOTE_COLUMNS)),
        tasks={task: facts[task] | {"classes": ["zero", "one", "two"]} for task in tasks},
        declared=declared(metrics),
        environments=({"python": "3.11", "torch": "2.6", "machine": {"cores": 2}},),
        spec={
            "name": "made-up",
            "tasks": list(tasks),
            "regularizers": list(labels),
            "seeds": seeds,
            "recipe": {"epochs": 6},
            "relevance": "rule-a",
        },
        parameters=parameters
        or {label: PARAMETERS[label] for label in labels if label in PARAMETERS},
    )


def _predictions(identity: Mapping[str, Any], accuracy: float, place: int) -> pd.DataFrame:
    """Return prediction, target and confidence of every test item, as a real run writes them.

    An item is as hard for one cell as for another, but for some luck: errors go together.
    """
    shared = np.random.default_rng([1, len(identity["task"])])
    targets, hardness = shared.integers(3, size=ITEMS), shared.uniform(size=ITEMS)
    own = np.random.default_rng([2, place, int(identity["seed"])])
    right = hardness + own.normal(0, 0.05, ITEMS) < accuracy
    predictions = np.where(right, targets, (targets + 1) % 3)
    values = {"prediction": predictions, "target": targets, "confidence": 1 - hardness / 3}
    return pd.concat(
        pd.DataFrame(
            {"item": np.arange(ITEMS), "value": np.asarray(column, dtype=np.float64)}
        ).assign(**identity, evaluation="accuracy", split="test", metric=name)
        for name, column in values.items()
    )


@pytest.fixture(scope="session")
def make_results() -> Make:
    """Return the builder of made-up results."""
    return build


@pytest.fixture(scope="session")
def complete() -> Results:
    """54 cells, all done."""
    return build()


@pytest.fixture(scope="session")
def with_holes() -> Results:
    """A failed baseline seed, a label that failed throughout on a task, a missing cell; and values
    that were left out."""
    return build(
        failed=(("digits", "none", 1), *(("cue-points", "cutout", seed) for seed in range(3))),
        missing=(("cue-images", "guided block", 2),),
        left_out=LEFT_OUT,
    )


@pytest.fixture(scope="session")
def swept() -> Results:
    """Parameters that the spec gives as lists: see `SWEPT`."""
    return build(
        labels=tuple(SWEPT),
        tasks=("digits", "cue-points"),
        gains=(0.0, 0.01, 0.03, 0.05, 0.02, 0.0, -0.02, 0.01, 0.02, 0.03, 0.04, 0.05, 0.0),
        parameters=SWEPT,
    )


@pytest.fixture(scope="session")
def empty(complete: Results) -> Results:
    """Cells that are all missing, and no value anywhere."""
    cells = complete.cells.assign(status="missing", error="")
    numbers = ["train_seconds", "step_seconds", "explained", "occluded_fraction", "peak_memory"]
    cells[numbers] = np.nan
    return Results("empty", complete.baseline, complete.labels, cells)
