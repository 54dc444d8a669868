"""SQL of locks, records and landed rows, a file a warehouse. Knows nothing of dlt."""
