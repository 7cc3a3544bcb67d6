"""Tasks side by side in processes of their own, of which any may die.

A pool of :mod:`concurrent.futures` ends all its processes where one dies, and what they did is lost. Here each process
has a pipe of its own: one that dies costs its own task an attempt, and no other anything.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import TypeVar, cast

ATTEMPTS = 3

Task = TypeVar("Task")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Died:
    """What became of a task whose process died at each attempt; ``exitcode`` is that of the last one."""

    attempts: int
    exitcode: int | None

    def __str__(self) -> str:
        code = self.exitcode
        if code is None:
            return f"its process died {self.attempts} times"
        if code >= 0:
            how = f"with exit status {code}"
        else:
            names = {s.value: s.name for s in signal.Signals}
            how = f"of {names.get(-code, f'signal {-code}')}"
            how += ", as where memory runs out" if names.get(-code) == "SIGKILL" else ""
        return f"its process died {self.attempts} times, last {how}"


@dataclass
class _Worker:
    process: SpawnProcess
    connection: Connection


def in_processes(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    processes: int,
    starting: Callable[[Task], None] = lambda task: None,
) -> Generator[tuple[Task, Result | Died], None, None]:
    """``work`` on each task, as the tasks finish; ``starting`` is told of each that begins.

    The task of a process that dies goes to another one, after all others, and is given up as :class:`Died` after
    :data:`ATTEMPTS`. An exception in ``work`` is raised here as a ``RuntimeError`` with its traceback. Closing the
    generator ends all processes at once; where this process is killed they end by themselves.
    """
    waiting, attempts = deque(tasks), Counter[Task]()
    idle: list[_Worker] = []
    busy: dict[Connection, tuple[_Worker, Task]] = {}
    everyone: list[_Worker] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < processes:
                worker = idle.pop() if idle else _start(work, everyone)
                try:
                    worker.connection.send(waiting[0])
                except OSError:  # it died while it had nothing to do
                    continue
                busy[worker.connection] = worker, waiting[0]
                starting(waiting.popleft())
            for ready in wait(list(busy)):
                worker, task = busy.pop(cast(Connection, ready))
                try:
                    succeeded, result = worker.connection.recv()
                except (EOFError, OSError):
                    worker.process.join()
                    attempts[task] += 1
                    if attempts[task] < ATTEMPTS:
                        waiting.append(task)
                    else:
                        yield task, Died(attempts[task], worker.process.exitcode)
                    continue
                if not succeeded:
                    raise RuntimeError(f"{task}: {result}")
                idle.append(worker)
                yield task, result
    finally:
        started = [worker.process for worker in everyone if worker.process.pid is not None]
        for process in started:
            process.kill()
        for process in started:
            process.join()


def in_this_process(
    work: Callable[[Task], Result], tasks: Sequence[Task], starting: Callable[[Task], None] = lambda task: None
) -> Generator[tuple[Task, Result], None, None]:
    """As :func:`in_processes`, one task after the other, here: nothing survives the death of this process."""
    for task in tasks:
        starting(task)
        yield task, work(task)


def _start(work: Callable[[Task], Result], everyone: list[_Worker]) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    worker = _Worker(context.Process(target=_serve, args=(work, theirs), daemon=True), ours)
    everyone.append(worker)  # first, for what is raised while it starts
    with _interrupts_held():
        worker.process.start()
    theirs.close()  # or the end of the process would not be seen
    return worker


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C goes to all processes of a terminal. It is for this one: those started here never see it.

    What is blocked stays so in a process that is started, from its first moment on.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # where it is started with a process it lifts the block
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def _serve(work: Callable[[Task], Result], connection: Connection) -> None:
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, OSError):  # the parent has ended
        while True:
            task = connection.recv()
            try:
                answer: tuple[bool, Result | str] = True, work(task)
            except Exception:
                answer = False, traceback.format_exc()
            connection.send(answer)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
