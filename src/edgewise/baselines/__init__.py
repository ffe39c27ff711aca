"""Recommenders to stand beside, on the same splits, protocol and metrics."""
