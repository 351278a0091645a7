"""Performance of the champion in production."""
