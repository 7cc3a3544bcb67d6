"""One file per figure; ``sdewm figures`` draws them from recorded numbers."""
