"""Hiding parts of an input: score (where) x shape (which region) x fill (with what)."""

from reldrop_bench.occlusion import shape as shape
