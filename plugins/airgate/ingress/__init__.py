"""The way in: endpoints of Airflow's api-server that services call through the gateway."""
