"""The claims that a user's system is checked against, one file each: ``check(system, settings)`` yields the rows."""
