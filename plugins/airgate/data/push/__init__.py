"""Data sets into a service."""
