"""What records look like: schemas declared, described or inferred, and how they grow."""
