"""One file per claim of the paper, each runnable alone; ``python -m theory_checks`` runs them all."""
