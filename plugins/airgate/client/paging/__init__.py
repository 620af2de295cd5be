"""The page schemes, one a file; ``airgate.pagination`` gives them to DAGs."""
