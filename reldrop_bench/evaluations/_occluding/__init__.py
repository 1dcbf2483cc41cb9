"""Accuracy while more and more is hidden."""
