"""What TLC publishes: where it is, and how it is brought here."""
