"""What the example DAGs need beside the package: gateway configuration, SQL and the sample services."""
