"""What the gateway's file says: pure functions from configuration and request to a decision, no I/O."""
