"""Rows that are not independent: windows of time, clusters, duplicates."""
