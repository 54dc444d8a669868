"""Finds, downloads and copies the month files that TLC publishes."""
