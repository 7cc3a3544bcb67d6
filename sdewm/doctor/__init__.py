"""Whether an installation works, and what it has: ``sdewm doctor``."""
