"""What `scripts/NAME` becomes once its environment is ready: one module a command."""
