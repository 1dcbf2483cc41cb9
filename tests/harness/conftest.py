"""A benchmark of the harness that runs in a second or two."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture
def tiny_spec() -> dict[str, Any]:
    return {
        "name": "tiny",
        "tasks": ["tiny-blobs"],
        "regularizers": ["none", {"cutout": {"size": 0.5}}],
        "seeds": 2,
        "model": {"small-cnn": {"width": 4}},
        "relevance": "gradient-x-input",
        "evaluations": ["accuracy", "shifts"],
    }
