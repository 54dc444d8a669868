"""One month file to raw rows. The only place that knows dlt."""
