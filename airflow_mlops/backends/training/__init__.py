"""Execution of training, and its log in MLflow."""
