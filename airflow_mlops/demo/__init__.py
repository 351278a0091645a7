"""Demo: the whole loop on flights of 2013 under a real Airflow scheduler."""
