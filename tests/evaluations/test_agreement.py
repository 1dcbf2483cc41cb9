"""Likeness of two models, of which the answer is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import cohen_kappa_score
from torch import nn

from reldrop_bench.evaluations.agreement import Agreement
from reldrop_bench.kinds.evaluation import Context
from reldrop_bench.kinds.record import Record


def run(context: Context, **settings: object) -> tuple[pd.DataFrame, list[dict[str, str]]]:
    record = Record()
    Agreement(**settings).evaluate(context, record)
    frame = record.frame()
    assert np.isfinite(frame["value"].astype(float)).all()
    return frame, record.notes


def metrics(rows: pd.DataFrame, split: str) -> dict[str, float]:
    chosen = rows[(rows["table"] == "metric") & (rows["split"] == split)]
    return dict(zip(chosen["metric"], chosen["value"], strict=True))


def hidden(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 5))


def with_noise(context: Context) -> Context:
    generator = torch.Generator().manual_seed(0)
    context.test.inputs.add_(torch.randn(context.test.inputs.shape, generator=generator))
    return context


def test_a_model_agrees_with_itself_whatever_the_scale_of_its_features(context_of):
    model, other = hidden(0), hidden(0)
    with torch.no_grad():
        other[1].weight.mul_(3)
        other[1].bias.mul_(3)
        other[3].weight.div_(3)
    companions = {"baseline": lambda: with_noise(context_of(other))}
    rows, notes = run(with_noise(context_of(model, companions=companions)))
    assert notes == []
    assert set(rows["split"]) == {"to-baseline"}
    assert metrics(rows, "to-baseline") == pytest.approx(
        {
            "linear_cka": 1,
            "error_disagreement": 0,
            "prediction_disagreement": 0,
            "error_kappa": 1,
        }
    )


def test_two_models_by_hand(context_of, cue_reader):
    model, other = cue_reader((0,)), cue_reader((0,))
    with torch.no_grad():
        model.linear.weight[3] = 0  # says class 4 where it should say 3
        other.linear.weight[2:4] = other.linear.weight[[3, 2]]  # takes 2 and 3 for each other
    companions = {"first-seed": lambda: context_of(other)}
    rows, notes = run(context_of(model, companions=companions))
    found = metrics(rows, "between-seeds")
    assert notes == []
    assert found["error_disagreement"] == 0.25
    assert found["prediction_disagreement"] == 0.5
    first, second = np.arange(120) % 4 != 3, np.arange(120) % 4 < 2
    assert found["error_kappa"] == pytest.approx(cohen_kappa_score(first, second))
    assert found["linear_cka"] == pytest.approx(1)  # both read the image itself
    items = rows[rows["table"] == "example"].groupby("metric")["value"].agg(["mean", "size"])
    assert items.loc["error_disagreement"].tolist() == [0.25, 120]
    assert items.loc["prediction_disagreement"].tolist() == [0.5, 120]


def test_other_features_are_less_alike(context_of):
    companions = {role: lambda: with_noise(context_of(hidden(1))) for role in Agreement.companions}
    context = with_noise(context_of(hidden(0), companions=companions))
    rows, _ = run(context)
    for split in ("to-baseline", "between-seeds"):
        found = metrics(rows, split)
        assert 0 < found["linear_cka"] < 0.9
        assert found["prediction_disagreement"] >= found["error_disagreement"] >= 0
        assert -1 <= found["error_kappa"] < 1
    torch.manual_seed(1)
    again, _ = run(with_noise(context_of(hidden(0), companions=companions, seed=8)))
    assert again.equals(rows)
    fewer, _ = run(context, max_samples=30)
    assert metrics(fewer, "to-baseline")["linear_cka"] != metrics(rows, "to-baseline")["linear_cka"]


def test_nothing_is_written_where_there_is_no_other_model(context_of):
    rows, notes = run(context_of(hidden(0)))
    assert rows.empty
    assert notes == []


def test_a_model_that_should_be_there_is_noted(context_of):
    context = context_of(hidden(0), companions={"baseline": lambda: None})
    rows, notes = run(context)
    assert rows.empty
    assert context.lacking == {"baseline"}
    assert [note["split"] for note in notes] == ["to-baseline"]
    assert "weights were not kept" in notes[0]["reason"]


def test_what_cannot_be_compared_is_noted(context_of, cue_reader):
    still = cue_reader((0, 1))
    context = context_of(still, companions={"baseline": lambda: context_of(cue_reader((2,)))})
    rows, notes = run(context)
    assert "error_kappa" not in metrics(rows, "to-baseline")
    assert "both models are right about every item" in notes[0]["reason"]
    blind = hidden(0)
    nn.init.zeros_(blind[1].weight)
    rows, notes = run(context_of(hidden(1), companions={"baseline": lambda: context_of(blind)}))
    assert "linear_cka" not in metrics(rows, "to-baseline")
    assert any("the same for all samples" in note["reason"] for note in notes)
    pooled = nn.Sequential(nn.Conv2d(1, 5, 6), nn.Flatten())
    rows, notes = run(context_of(hidden(1), companions={"baseline": lambda: context_of(pooled)}))
    assert any("no nn.Linear" in note["reason"] for note in notes)
    assert "error_disagreement" in metrics(rows, "to-baseline")
