"""Metrics sources: request counts, errors and predictions per version."""
