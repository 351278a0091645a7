"""Skew."""
