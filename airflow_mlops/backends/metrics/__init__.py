"""Where request counts, errors and predictions are read."""
