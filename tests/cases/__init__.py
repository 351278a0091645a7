"""Inputs that once came out wrong, and the tests that hold their right answers."""
