"""The whole loop on real flights under a real Airflow."""
