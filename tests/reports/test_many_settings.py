"""Many tasks: figures stay few and of a size that can be read, and nothing is left out of tables."""

from __future__ import annotations

from dataclasses import fields

import pandas as pd
import pytest

from reldrop_bench.kinds.section import Block, Figure, Prose, Table
from reldrop_bench.plugins import registry
from reldrop_bench.plugins.reports import shifts
from reldrop_bench.reporting.rows import DETAILED, MANY, PANELS, settings
from reldrop_bench.reporting.style import Style
from reldrop_bench.results import Results

SECTIONS = ("accuracy", "shifts", "occlusion", "faithfulness", "diversity", "cues")
MODELS = 5


@pytest.fixture(scope="module")
def many(complete: Results) -> Results:
    """The same tasks with several models: 15 settings."""
    frames = {
        each.name: pd.concat(
            [
                getattr(complete, each.name).assign(model=f"net-{number}")
                for number in range(MODELS)
            ],
            ignore_index=True,
        )
        for each in fields(complete)
        if isinstance(getattr(complete, each.name), pd.DataFrame)
    }
    return complete.changed(**frames)


def built(name: str, results: Results) -> list[Block]:
    style = Style(results.labels, results.baseline)
    with style.theme():
        return list(registry.create("sections", name, {}).build(results, style))


@pytest.mark.parametrize("name", SECTIONS)
def test_every_setting_has_its_numbers_and_figures_stay_few(name: str, many: Results) -> None:
    assert len(settings(many)) > PANELS > MANY
    blocks = built(name, many)
    tables = [block for block in blocks if isinstance(block, Table)]
    told = {str(text) for table in tables for text in (table.name, *table.frame.columns)}
    own = [
        setting
        for setting, text in settings(many).items()
        if any(text in each or text.replace(" · ", "-") in each for each in told)
    ]
    with_cues = [setting for setting in settings(many) if many.tasks[setting[0]]["cues"]]
    expected = with_cues if name == "cues" else list(settings(many))
    if name != "shifts":  # its tasks with cues have no other shift than removed cues
        assert own == expected
    figures = [block for block in blocks if isinstance(block, Figure)]
    single = [figure for figure in figures if "net-" in figure.name]
    assert len({figure.name.replace("-relative", "") for figure in single}) <= DETAILED
    assert all(len(figure.figure.axes) <= 40 for figure in figures)
    if name in ("occlusion", "faithfulness", "diversity"):
        assert single
        assert any(
            isinstance(block, Prose) and "Figures of single tasks" in block.text for block in blocks
        )


def test_a_heat_map_without_numbers_has_a_scale_a_panel(
    many: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shifts, "NUMBERS", 0)
    figures = [block.figure for block in built("shifts", many) if isinstance(block, Figure)]
    panels = [axes for figure in figures for axes in figure.axes if axes.get_title(loc="left")]
    scales = [axes for figure in figures for axes in figure.axes if axes not in panels]
    assert len(panels) == len(scales) == MODELS  # of the one task that has shifts
    assert not any(axes.texts for axes in panels)
