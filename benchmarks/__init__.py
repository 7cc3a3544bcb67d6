"""What things cost; each file prints a table."""
