"""A Dask cluster that runs the units of a run: ``--scheduler tcp://…``."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from theory_checks.executor import Died
from theory_checks.unit_store import code_version

if TYPE_CHECKING:
    from distributed import Client

Task = TypeVar("Task")
Result = TypeVar("Result")

TIMEOUT = 10  # seconds


class Unreachable(RuntimeError):
    """There is no cluster to work with; the message says why, and what to do."""


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """A client of the scheduler at ``address``, where every worker has this code.

    Raises :class:`Unreachable` where Dask is not installed, nobody answers, there are no workers, or one has several
    threads, or other code, which would return other numbers.
    """
    try:
        from distributed import Client
    except ImportError as error:
        raise Unreachable("it needs Dask: pip install 'sdewm[scale]'") from error
    try:
        client = Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, TimeoutError, ValueError) as error:
        raise Unreachable(f"no scheduler answers at {address} ({error})") from error
    try:
        ours, theirs = code_version(), client.run(code_version)
        if not theirs:
            raise Unreachable(f"the scheduler at {address} has no workers; start one with: dask worker {address}")
        threads = {worker: n for worker, n in client.nthreads().items() if n > 1}
        if threads:
            raise Unreachable(
                "expected workers of one thread each, as units share what Python keeps for a process; got "
                f"{next(iter(threads.values()))} threads on {', '.join(threads)}; start them with --nthreads 1"
            )
        others = [worker for worker, version in theirs.items() if version != ours]
        if others:
            raise Unreachable(
                f"expected workers with this version of the code and of its packages ({ours}), got {theirs[others[0]]} "
                f"on {', '.join(others)}; install the same there"
            )
        yield client
    finally:
        client.close()


def on_cluster(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    client: Client,
    starting: Callable[[Task], None] = lambda task: None,
) -> Generator[tuple[Task, Result | Died], None, None]:
    """``work`` on each task, as the tasks finish, like :func:`theory_checks.executor.in_processes`.

    The task of a worker that dies goes to another one, and is given up as :class:`~theory_checks.executor.Died` where
    that happens more often than the scheduler allows. Closing the generator cancels what has not begun.
    """
    from distributed import CancelledError, as_completed
    from distributed.scheduler import KilledWorker

    # The first to be submitted is the first to be worked on; which one a worker has begun with is not told.
    futures = {client.submit(work, task, pure=False, priority=-i): task for i, task in enumerate(tasks)}
    for task in tasks:
        starting(task)
    try:
        for future in as_completed(list(futures), loop=client.loop):
            task = futures[future]
            try:
                # What was finished may be lost with its worker before it is fetched: this waits until it is done again.
                result = future.result()
            except CancelledError as error:
                raise Unreachable("the scheduler has ended; the same command resumes") from error
            except KilledWorker as error:
                result = Died(error.allowed_failures + 1, None)
            except Exception as error:
                raise RuntimeError(f"{task}: {error!r}") from error
            yield task, result
            del futures[future]  # fetched, so that no worker has to keep it
    finally:
        client.cancel(list(futures))
