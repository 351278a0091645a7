"""Evidence store of a DAG run: what it measured and decided."""
