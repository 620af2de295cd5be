"""Reads collections: page by page, ahead of the parser, several at once, what is new, what lies below each record."""
