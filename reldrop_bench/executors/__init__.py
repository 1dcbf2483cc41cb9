"""Ways to compute many cells: one small file each, one interface."""
