"""What people take out of the marts: the report as one HTML page, the explorer, the export."""
