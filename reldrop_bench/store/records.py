"""What lies on disk."""

from __future__ import annotations

import json
from typing import Any


def differences(old: dict[str, Any], new: dict[str, Any], path: str = "") -> list[str]:
    """Say what differs between two pieces of plain data, key by key: "recipe.epochs 2 → 3"."""
    found = []
    for key in dict.fromkeys([*old, *new]):
        here = f"{path}.{key}" if path else key
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            found += differences(before, after, here)
        elif key == "source":
            found.append(f"the source of the {path} changed")
        else:
            found.append(f"{here} {json.dumps(before)} → {json.dumps(after)}")
    return found
