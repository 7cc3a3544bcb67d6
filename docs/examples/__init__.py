"""Short programs that draw one picture each; ``python -m docs.examples`` makes the pictures of the gallery."""
