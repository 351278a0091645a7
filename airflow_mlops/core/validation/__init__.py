"""Validation of a candidate: whether it may challenge the champion."""
