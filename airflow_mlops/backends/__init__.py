"""One module per outside system; no Airflow import."""
