"""Measures the project beside the flow that it replaces, its peers, and the machine's limit."""
