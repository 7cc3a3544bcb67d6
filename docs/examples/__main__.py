"""Run the examples named, or all, and keep their pictures: ``python -m docs.examples [NAME …]``."""

import sys
import time

from docs.examples.run import EXAMPLES, keep

for name in sys.argv[1:] or EXAMPLES:
    started = time.perf_counter()
    print(f"{keep(name)}  {time.perf_counter() - started:.1f} s")
