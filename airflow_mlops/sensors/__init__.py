"""Tasks that wait for evidence."""
