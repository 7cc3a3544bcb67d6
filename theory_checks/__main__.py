"""Entry point of ``python -m theory_checks``; see :mod:`theory_checks.run`."""

from theory_checks.run import main

if __name__ == "__main__":
    raise SystemExit(main())
