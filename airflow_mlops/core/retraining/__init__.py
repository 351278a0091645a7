"""When to train again."""
