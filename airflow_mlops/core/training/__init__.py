"""What to train: the job and the candidate it yields."""
