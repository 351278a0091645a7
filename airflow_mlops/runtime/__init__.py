"""Shared by running tasks: the evidence run, reports, notices, lineage, and errors as task states."""
