"""The rows of a report: verdicts on claims, their records, and summaries of them in words."""
