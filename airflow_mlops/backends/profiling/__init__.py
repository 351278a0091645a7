"""Engines that scan data once and return a profile."""
