"""How a month stands, at the source and in the warehouse, and what is due."""
