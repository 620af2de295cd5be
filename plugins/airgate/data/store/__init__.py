"""Data sets in storage: parts, manifests, dead letters."""
