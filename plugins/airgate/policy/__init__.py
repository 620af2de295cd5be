"""Decisions: what failed, whether to try again, what may be shown. Pure: no HTTP library, no Airflow, no clock."""
