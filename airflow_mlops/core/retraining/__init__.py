"""Retraining policy."""
