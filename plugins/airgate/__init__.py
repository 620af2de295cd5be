"""Airgate: orchestrate services behind an API gateway from Apache Airflow."""

__version__ = "0.1.0"
