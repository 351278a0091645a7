"""Engines that evaluate data rules a profile cannot answer."""
