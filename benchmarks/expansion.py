"""What an expansion costs: six Taylor coefficients against one plain Euler pass, and its peak memory.

Run with ``python -m benchmarks.expansion``. Times are processor time on one thread, the least of several runs. The
torchsde column appears where torchsde is installed. The memory table needs Linux.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from sdewm import FunctionSDE, MonteCarlo, PerturbedSDE, TimeGrid, expand
from sdewm.exact import reference
from sdewm.expansion.pathwise_derivatives import corrected_terms
from sdewm.noise.increments import StoredIncrements
from sdewm.solvers.solve import solve
from sdewm.systems.losses import as_summed

STEPS = 20
REPEATS = 5
PATHS = (256, 1024, 4096)
MEMORY_PATHS = (10**4, 10**6)


def tanh_network() -> tuple[PerturbedSDE, Callable[[Tensor], Tensor], Tensor, int]:
    """A 16-64-64-16 tanh drift with additive noise, and a state-dependent error."""
    torch.manual_seed(0)
    layers = [nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 16)]
    drift = nn.Sequential(*layers).double().requires_grad_(False)
    base = FunctionSDE(lambda t, x: drift(x), lambda t, x: torch.full_like(x, 0.2))
    error = FunctionSDE(lambda t, x: torch.sin(x), lambda t, x: torch.cos(x))
    return PerturbedSDE(base, error), lambda x: (x**2).sum(-1), torch.zeros(16, dtype=torch.float64), 16


def reference_model() -> tuple[PerturbedSDE, Callable[[Tensor], Tensor], Tensor, int]:
    """The reference latent model, 9 dimensions."""
    return reference.latent_family(), reference.loss, reference.initial_state(), 6


def least(run: Callable[[], object]) -> float:
    """Seconds of processor time, the least of several."""
    run()
    seconds = []
    for _ in range(REPEATS):
        start = time.process_time()
        run()
        seconds.append(time.process_time() - start)
    return min(seconds)


def cost(console: Console) -> None:
    with_torchsde = importlib.util.find_spec("torchsde") is not None
    table = Table(title="nanoseconds of processor time per path and step, one thread, float64", title_justify="left")
    columns = ["system", "paths", "one Euler pass", "six coefficients", "ratio", "four (third order)", "ratio"]
    for name in [*columns, *(["torchsde Euler"] if with_torchsde else [])]:
        table.add_column(name, justify="left" if name == "system" else "right")
    grid = TimeGrid(0.0, 1.0, STEPS)
    for name, make in (("tanh 16-64-64-16", tanh_network), ("reference", reference_model)):
        family, loss, x0, channels = make()
        losses = {"loss": as_summed(loss, grid)}
        for paths in PATHS:
            noise = StoredIncrements(grid.dt**0.5 * torch.randn(STEPS, paths, channels, dtype=torch.float64))

            def plain(family=family, loss=loss, x0=x0, noise=noise) -> Tensor:
                return loss(solve(family.at(0.1), x0, grid, noise=noise))

            def six(family=family, losses=losses, x0=x0, noise=noise) -> object:
                return corrected_terms(family, losses, x0, grid, noise=noise)

            def ten(family=family, losses=losses, x0=x0, noise=noise) -> object:
                return corrected_terms(family, losses, x0, grid, noise=noise, order=3)

            with torch.no_grad():
                seconds = [least(run) for run in (plain, six, ten)]
            unit = 1e9 / (paths * STEPS)
            third = seconds[2] - seconds[1]
            row = [name, str(paths), f"{seconds[0] * unit:.0f}", f"{seconds[1] * unit:.0f}"]
            row += [f"{seconds[1] / seconds[0]:.2f}", f"{third * unit:.0f}", f"{third / seconds[0]:.2f}"]
            if with_torchsde:
                row.append(f"{least(lambda f=family, x=x0, n=paths: _torchsde(f, x, n)) * unit:.0f}")
            table.add_row(*row)
    console.print(table)


def _torchsde(family: PerturbedSDE, x0: Tensor, paths: int) -> Tensor:
    import torchsde

    with torch.no_grad():
        times = torch.linspace(0.0, 1.0, 2, dtype=torch.float64)
        return torchsde.sdeint(family.at(0.1), x0.expand(paths, -1), times, dt=1 / STEPS, method="euler")


def memory(console: Console) -> None:
    table = Table(title="peak resident memory of an expansion of the reference model", title_justify="left")
    for name in ("paths", "MiB", "above an idle process"):
        table.add_column(name, justify="right")
    idle = _peak(0)
    for paths in MEMORY_PATHS:
        peak = _peak(paths)
        table.add_row(f"{paths:,}", f"{peak:.0f}", f"{peak - idle:.0f}")
    console.print(table)


def _peak(paths: int) -> float:
    command = [sys.executable, "-m", "benchmarks.expansion", "--peak", str(paths)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _run_and_report_peak(paths: int) -> None:
    family, loss, x0, _ = reference_model()
    if paths:
        expand(family, loss, x0, TimeGrid(0.0, 1.0, 5), sampler=MonteCarlo(paths, 0))
    # Not getrusage: its maximum is inherited from the process that started this one.
    status = Path("/proc/self/status").read_text()
    print(next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if "--peak" in sys.argv:
        _run_and_report_peak(int(sys.argv[-1]))
    else:
        console = Console(width=None if sys.stdout.isatty() else 140)
        console.print(f"torch {torch.__version__}, {torch.get_num_threads()} thread, {STEPS} steps")
        cost(console)
        memory(console)
