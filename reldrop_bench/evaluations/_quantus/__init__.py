"""Metrics of Quantus: which, with what settings, and how they are called."""
