"""Airflow plug-in: the page *Models* and its authorised API."""
