"""What ``airflow gateway ...`` does, one command a file."""
