"""Data sets as frames."""
