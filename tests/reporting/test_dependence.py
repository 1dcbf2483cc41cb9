"""Models of one task share a seed's data and order: their differences are one observation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from reldrop_bench.reporting.judgement import judge
from reldrop_bench.reporting.pairs import paired_outcomes
from reldrop_bench.results import Results

Make = Callable[..., Results]


def several_models(
    make_results: Make, models: int, effect: float, seeds: int, generator: np.random.Generator
) -> Results:
    """Return results on one task and several models whose differences share a part of each seed."""
    one = make_results(labels=("none", "idle"), tasks=("digits",), seeds=seeds)
    metrics = one.metrics[
        (one.metrics["evaluation"] == "accuracy") & (one.metrics["metric"] == "accuracy")
    ]
    shared = generator.normal(0, 0.02, seeds)
    cells, rows = [], []
    for model in range(models):
        own = generator.normal(0, 0.018, seeds)
        value = np.where(
            metrics["label"] == "idle",
            0.5 + effect + shared[metrics["seed"]] + own[metrics["seed"]],
            0.5,
        )
        rows.append(metrics.assign(model=f"net {model}", value=value))
        cells.append(one.cells.assign(model=f"net {model}"))
    joined = {"cells": pd.concat(cells, ignore_index=True)}
    return replace(one, **joined, metrics=pd.concat(rows, ignore_index=True))


def test_the_p_is_that_of_the_means_over_models(make_results: Make) -> None:
    results = several_models(make_results, 3, 0.01, 6, np.random.default_rng(0))
    row = judge(results, paired_outcomes(results)).iloc[0]
    wide = results.metrics.pivot_table(index=["model", "seed"], columns="label", values="value")
    means = (wide["idle"] - wide["none"]).groupby("seed").mean()
    expected = scipy.stats.ttest_1samp(means, 0)
    assert row["p"] == pytest.approx(expected.pvalue)
    assert (row["n"], row["settings"]) == (6, 1)
    assert row["mean"] == pytest.approx(means.mean())


def test_a_seed_that_lacks_a_model_is_no_pair(make_results: Make) -> None:
    results = several_models(make_results, 2, 0.01, 6, np.random.default_rng(1))
    metrics = results.metrics
    gone = (metrics["model"] == "net 1") & (metrics["seed"] == 2) & (metrics["label"] == "idle")
    row = judge(replace(results, metrics=metrics[~gone].reset_index(drop=True))).iloc[0]
    assert (row["n"], row["n_expected"]) == (5, 6)


def test_an_idle_label_is_called_different_as_often_as_it_should(make_results: Make) -> None:
    generator, wrong, runs = np.random.default_rng(2), 0, 60
    for _ in range(runs):
        results = several_models(make_results, 4, 0.0, 4, generator)
        wrong += bool((judge(results)["verdict"] != "unclear").any())
    # 3 of 60 are expected; 9 or more have a chance of one in 300. As if independent: 10.
    assert wrong <= 8
