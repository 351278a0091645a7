"""Metrics: per-row terms, formulas by family, and one table of their names."""
