"""Claims held against numbers, and the report on them."""
