"""How the warehouses differ: one dialect a file."""
