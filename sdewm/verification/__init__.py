"""Systems checked against the claims of the theory, and the report on them."""
