"""What the example DAGs about orders share."""
