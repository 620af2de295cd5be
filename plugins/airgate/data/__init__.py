"""Records: pages become Arrow tables, Parquet parts and a manifest; Parquet becomes a table, in one transaction."""
