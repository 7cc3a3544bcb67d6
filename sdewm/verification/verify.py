"""Check a user's own system against the theory, by the methods that check the paper's systems."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from sdewm import arguments
from sdewm.estimate.samples import SamplerName
from sdewm.jets import NonSmoothWarning, NotDifferentiable
from sdewm.verdicts.judge import LeftOut, Row, Verdict
from sdewm.verification.claims import assumptions, divergence, expansion, fundamental_matrix, orders, sensitivities
from sdewm.verification.conformity import check_sde, kink_notes
from sdewm.verification.finished import Finished
from sdewm.verification.looks import decide
from sdewm.verification.settings import Settings
from sdewm.verification.system import System
from sdewm.verification.system_report import ALL_OF_IT, Report, report
from sdewm.verification.system_samples import sample_system

Check = Callable[[System, Settings], Iterable[Row]]
CLAIMS: dict[str, Check] = {
    "expansion": expansion.check,
    "sensitivities": sensitivities.check,
    "fundamental matrix": fundamental_matrix.check,
    "divergence": divergence.check,
    "strong order": partial(orders.check, "strong"),
    "weak order": partial(orders.check, "weak"),
    "assumptions": assumptions.check,
}
SAMPLERS: tuple[SamplerName, ...] = ("rqmc", "mc", "antithetic")


def verify(
    system: System,
    claims: Sequence[str] | None = None,
    *,
    precision: float = 1e-2,
    seed: int = 0,
    sampler: SamplerName = "rqmc",
    budget: float = 300.0,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Check a system against the theory: its expansion, its sensitivities, and the orders of its method.

    Parameters
    ----------
    claims : any of :data:`CLAIMS`, all by default. "expansion": the coefficients of ε, ε² and ε³ by independent
        routes (jets, variation of constants, differences in ε) and the rates of remainders; "sensitivities": ∂_ε x and
        ∂²_ε x by their own equations, jets and differences; "fundamental matrix": Φ by several routes, and ΦΦ⁻¹;
        "divergence": distances of solutions, or of a latent model's rollouts, against ∂x; "strong order" and "weak
        order" of the method; "assumptions": 3.1 and 3.2, whose violations are warnings and decide nothing.
    precision : a coefficient counts as verified if it is right to this fraction of its root mean square over paths, and
        to half of its own size. Sample sizes follow from a pilot run.
    seed, sampler : determine every number.
    budget : seconds. Samples double until every row is decided, four times at most. No doubling is begun that would
        exceed the budget. The numbers of a row do not depend on it.
    progress : called with each claim's name as it begins.

    If a system does not meet an assumption of a claim, as with ReLU or with a mean that rests on few paths, a row that
    would be refuted is inconclusive instead, and the report says why.

    Raises
    ------
    ValueError, TypeError : name the coefficient or the argument that is not what it should be, before any work is done.

    >>> report = verify(System(family, loss, x0, TimeGrid(0.0, 1.0, 32)))
    >>> print(report.verdict)
    system: verified. 19 rows hold to 0.01; …
    """
    chosen, settings, budget = asked(system, claims, precision, seed, sampler, budget)
    arguments.function("progress", progress, "a claim's name", optional=True)
    system = system.afresh()
    notes = check_sde(system).notes
    return report(system, chosen, settings, hold(system, chosen, settings, budget, starting=progress), notes)


def asked(
    system: System, claims: Sequence[str] | None, precision: float, seed: int, sampler: SamplerName, budget: float
) -> tuple[tuple[str, ...], Settings, float]:
    """The checked claims, settings and budget; ``ValueError`` or ``TypeError`` names the argument that is wrong."""
    arguments.instance("system", system, System, "a System(family, loss, x0, grid)")
    chosen = tuple(CLAIMS) if claims is None else arguments.choices("claims", claims, tuple(CLAIMS))
    precision = arguments.real("precision", precision, least=1e-5, below=0.5)
    settings = Settings(precision, arguments.integer("seed", seed, 0), arguments.choice("sampler", sampler, SAMPLERS))
    return chosen, settings, arguments.real("budget", budget, least=0.0)


def hold(
    system: System,
    claims: Sequence[str],
    settings: Settings,
    budget: float,
    *,
    take_up: Callable[[str], Finished | None] = lambda claim: None,
    keep: Callable[[str, Finished], Finished] = lambda claim, finished: finished,
    starting: Callable[[str], None] | None = None,
) -> Iterator[tuple[str, Finished]]:
    """Yield each claim with its results. If ``take_up`` returns earlier results of a claim, it is not sampled again.

    ``keep`` is called with new results. The seconds of earlier results count for the budget as if they were spent now.
    """
    left = budget
    for claim in claims:
        finished = take_up(claim)
        if finished is None:
            if starting is not None:
                starting(claim)
            finished = keep(claim, _found(system, claim, settings, left))
        left -= finished.seconds
        yield claim, finished


def _found(system: System, claim: str, settings: Settings, seconds: float) -> Finished:
    started = time.perf_counter()
    notes: tuple[str, ...] = ()
    series: tuple[str, ...] = ()
    terms: tuple[dict[str, object], ...] = ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NonSmoothWarning)  # a note of the report
        try:
            rows = decide(partial(CLAIMS[claim], system), settings, seconds)
        except (ArithmeticError, NotDifferentiable, ValueError) as error:
            # The system itself has been checked. An error within one claim is reported there; the other claims go on.
            rows = [LeftOut(claim, system.name, ALL_OF_IT, "corrected", "", str(error))]
        if claim == "assumptions" and not any(isinstance(r, LeftOut) and r.claim == claim for r in rows):
            notes = tuple(str(v) for v in assumptions.assumptions_of(system, settings.seed).violations)
        if any(isinstance(r, Verdict) and r.claim == expansion.CLAIM for r in rows):
            samples = sample_system(system, settings)
            notes = (*kink_notes(samples.kinks), *samples.notes)
            series, terms = tuple(samples.summary()), tuple(samples.terms)
    return Finished(tuple(rows), time.perf_counter() - started, terms=terms, series=series, notes=notes)
