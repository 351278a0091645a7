"""Triggers: waiting on the triggerer, without a worker."""
