"""What validation needs of vendors: models, rows, scikit-learn's scorers, the author's functions."""
