"""What rows of a report are: claims held against numbers, their records, and what they say in words."""
