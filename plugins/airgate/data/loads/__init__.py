"""The course of a load: staged, checked, moved and entered in one transaction."""
