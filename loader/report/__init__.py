"""The report of a month or a range: one HTML page, made from the marts."""
