"""Profiles of files: one read gives digest, rows and values."""
