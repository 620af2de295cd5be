"""The embedded stack: sample services, gateway and all of Airflow as supervised processes on loopback."""
