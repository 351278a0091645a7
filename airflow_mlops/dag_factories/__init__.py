"""Typed configuration in, DAGs and task groups out."""
