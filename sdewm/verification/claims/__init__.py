"""The claims that a user's own system is held against, one file each: ``check(system, settings)`` yields its rows."""
