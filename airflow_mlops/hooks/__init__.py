"""Airflow connections turned into backends."""
