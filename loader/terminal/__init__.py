"""What a command shows, and how it is stopped."""
