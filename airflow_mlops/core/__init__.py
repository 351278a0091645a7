"""Pure decisions: no Airflow, no vendor, no clock, no disk, no unseeded chance."""
