"""Training job and the candidate that it yields."""
