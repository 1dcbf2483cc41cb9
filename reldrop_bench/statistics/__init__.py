"""Statistics as pure functions from arrays and frames to numbers: no disk, no plugin names."""
