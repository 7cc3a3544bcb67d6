"""Entry point of ``python -m theory_checks``; see :mod:`theory_checks.run`."""

import signal

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # imports take seconds: Ctrl-C ends them without a traceback
    from theory_checks.run import main

    raise SystemExit(main())
