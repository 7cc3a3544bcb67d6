"""One file per figure; ``python -m figures`` draws them all."""
