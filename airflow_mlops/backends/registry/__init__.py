"""Registered model versions, aliases and the ledger."""
