"""Airflow UI pages and their authorised API."""
