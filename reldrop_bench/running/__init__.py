"""Compute cells: plan, train, evaluate, record."""
