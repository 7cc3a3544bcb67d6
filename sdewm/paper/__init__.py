"""The paper as printed: its formulas, held beside what is true."""
