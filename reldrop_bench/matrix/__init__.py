"""From a spec to its cells: every combination, resolved, with the key that names its record."""
