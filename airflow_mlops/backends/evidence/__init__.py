"""Where a DAG run keeps what it measured and decided."""
