"""Sensors: tasks that wait for evidence or data."""
