"""Plugin files as `new` wrote them before 0.1: decorator, ClassVar, modules of former names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent / "former_style"
CODE = """
import json, sys
from reldrop_bench import plugins
from reldrop_bench.plugins import registry

plugins.add_folder(sys.argv[1])
kinds = ("regularizers", "tasks", "evaluations", "sections")
entries = [entry for kind in kinds for entry in registry.entries(kind) if not entry.built_in]
made = [registry.create(entry.kind, entry.name) for entry in entries]
other = registry.create("regularizers", "former-regularizer", {"probability": 0.25})
print(json.dumps([[plugin.name for plugin in made], [entry.error for entry in entries], other.parameters()]))
"""


def test_former_files_go_on_working() -> None:
    command = [sys.executable, "-c", CODE, str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    names, errors, parameters = json.loads(done.stdout)
    kinds = ("regularizer", "task", "evaluation", "section")
    assert names == [f"former-{kind}" for kind in kinds]
    assert errors == [""] * 4
    assert parameters["probability"] == 0.25
