"""Where the numbers come from: spec, machines, versions, keys, and the command to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pandas as pd
import yaml

from reldrop_bench.results import Results
from reldrop_bench.section import Block, Prose, ReportSection, Table

if TYPE_CHECKING:
    from reldrop_bench.report.style import Style


@dataclass(frozen=True)
class Provenance(ReportSection):
    """Everything that is needed to make the same results again."""

    name: ClassVar[str] = "provenance"
    title: ClassVar[str] = "Provenance"
    order: ClassVar[int] = 1000

    def build(self, results: Results, style: Style) -> Sequence[Block]:
        blocks: list[Block] = []
        if results.trained_elsewhere:
            command = "reldrop-bench evaluate --model FILE.py:FUNCTION --weights FILE --task TASK"
            blocks += [
                Prose("Each checkpoint was evaluated by this command, with its own files:"),
                Prose(f"{command} --label LABEL --seed SEED", "code"),
            ]
        elif results.spec:
            spec = json.loads(json.dumps(dict(results.spec), default=str))
            text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True, width=100)
            blocks += [
                Prose("To make the same results again, save the spec below as spec.yaml and run:"),
                Prose("reldrop-bench run spec.yaml", "code"),
                Prose(text, "code", summary="spec.yaml"),
            ]
        else:
            blocks.append(Prose("The results hold no spec, so no command can be given.", "warning"))
        blocks.append(
            Prose(
                "The same spec on the same machine and versions gives the same bits; on another "
                "machine floating-point sums may be ordered otherwise, and results differ slightly."
            )
        )
        blocks += _environments(results)
        if len(results.cells):
            columns = ["task", "model", "label", "seed", "status", "relevance", "key"]
            frame = results.cells[columns].fillna("").astype({"seed": str})
            blocks.append(Table("cells", f"Keys of all {len(frame)} cells.", frame, folded=True))
        return blocks


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    flat: dict[str, str] = {}
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            flat |= _flat(inner, f"{prefix}{key}.")
        elif isinstance(inner, list | tuple):
            flat[f"{prefix}{key}"] = ", ".join(str(part) for part in inner)
        else:
            flat[f"{prefix}{key}"] = str(inner)
    return flat


def _environments(results: Results) -> list[Block]:
    if not results.environments:
        return [Prose("The environment was not recorded.", "warning")]
    found = [_flat(environment) for environment in results.environments]
    keys = list(dict.fromkeys(key for environment in found for key in environment))
    titles = ["value"] if len(found) == 1 else [f"environment {i + 1}" for i in range(len(found))]
    frame = pd.DataFrame(
        [
            {"fact": key}
            | {title: flat.get(key, "–") for title, flat in zip(titles, found, strict=True)}
            for key in keys
        ]
    )
    table = Table("environments", "Machines and versions that the cells ran on.", frame)
    if len(found) == 1:
        return [table]
    text = f"The cells ran in {len(found)} different environments; differences may come from that."
    return [Prose(text, "warning"), table]
