"""The checks of Section 4 and of (18): what is true is verified, and every formula broken on purpose is caught."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from support import judge_all

import sdewm.divergence.policy as policy_module
import sdewm.divergence.rollout_terms as terms_module
from sdewm.divergence.distances import distances
from sdewm.divergence.lipschitz import SlopeNetwork
from sdewm.jets import Jet
from sdewm.systems.losses import as_summed
from sdewm.verdicts.words import overall
from sdewm.verification.settings import Settings
from theory_checks import (
    certified_bounds,
    convex_loss,
    corollary_4_2,
    fundamental_matrix_bound,
    policy_maximizer,
    rollouts,
    theorem_4_1,
)
from theory_checks.rows import Rows

QUICK = Settings(precision=1e-2)
CHECKS = {
    m.CLAIM.name: m
    for m in (theorem_4_1, fundamental_matrix_bound, certified_bounds, corollary_4_2, policy_maximizer, convex_loss)
}
MODULES = (*CHECKS.values(), rollouts)


def forget(*kept) -> None:
    """Empty the caches, so that nothing sampled or certified before is used again."""
    for module in MODULES:
        for value in vars(module).values():
            if hasattr(value, "cache_clear") and value not in kept:
                value.cache_clear()


@pytest.fixture
def broken(monkeypatch):
    """For what is sampled: the certified constants stay, as they take seconds."""
    kept = (rollouts.constants, fundamental_matrix_bound._whole_constants)
    forget(*kept)
    yield monkeypatch
    forget(*kept)


@pytest.fixture
def broken_certificate(monkeypatch):
    forget()
    yield monkeypatch
    forget()


def verdicts(claim: str, system: str):
    return judge_all(CHECKS[claim].CLAIM.rows(system, QUICK))


def printed(found) -> dict[str, str | None]:
    quantities = dict.fromkeys(v.quantity for v in found if v.form == "printed")
    return {q: overall([v for v in found if v.quantity == q and v.form == "printed"], "printed") for q in quantities}


def refuted(found, form: str = "corrected") -> set[str]:
    return {v.quantity for v in found if v.form == form and v.status == "refuted"}


FAST = [(claim, system) for claim, m in CHECKS.items() for system in m.CLAIM.systems if "trained" not in system]
TRAINED = [(claim, system) for claim, m in CHECKS.items() for system in m.CLAIM.systems if "trained" in system]


@pytest.mark.parametrize(("claim", "system"), FAST + [pytest.param(*pair, marks=pytest.mark.slow) for pair in TRAINED])
def test_every_corrected_statement_is_verified(claim, system):
    found = verdicts(claim, system)
    assert {v.status for v in found if v.form == "corrected"} <= {"verified"}


@pytest.mark.parametrize(
    ("claim", "system"),
    [
        pytest.param(*p, marks=pytest.mark.slow) if p == ("theorem_4_1", "latent") or p in TRAINED else p
        for p in FAST + TRAINED
    ],
)
def test_curves_have_a_value_at_every_point(claim, system):
    for curve in CHECKS[claim].CLAIM.drawn(system, QUICK):
        assert len(curve.x) == len(curve.y) and curve.claim == claim


@pytest.mark.parametrize(
    ("claim", "system", "status"),
    [
        ("theorem_4_1", "heavy tails", "refuted"),
        ("theorem_4_1", "linear growth", "refuted"),
        ("fundamental_matrix_bound", "frozen slopes", "refuted"),
        ("fundamental_matrix_bound", "latent", "vacuous"),
        ("corollary_4_2", "rare errors", "refuted"),
        ("corollary_4_2", "latent", "vacuous"),
        ("policy_maximizer", "network Q", "verified"),
        ("policy_maximizer", "quartic Q", "refuted"),
        ("convex_loss", "latent", "verified"),
    ],
)
def test_printed_statements(claim, system, status):
    assert set(printed(verdicts(claim, system)).values()) == {status}


def test_printed_theorem_4_1_on_the_reference_model():
    """The bound is vacuous for every scale of the weights; the Hessian terms are wrong."""
    found = printed(verdicts("theorem_4_1", "latent"))
    assert {s for q, s in found.items() if q.startswith("smallest C")} == {"vacuous"}
    assert {s for q, s in found.items() if q.startswith("F_")} == {"refuted"}


# -- mutations -----------------------------------------------------------------------------------------------------


def test_a_distance_that_is_not_squared_has_another_order(broken):
    broken.setattr(rollouts, "distances", lambda *a, **k: distances(*a, **k).sqrt())
    row = theorem_4_1._order(Rows("theorem_4_1", "latent"), rollouts.sample_rollouts("latent", QUICK))
    assert refuted(judge_all([row])) == {"order of d_ε in δ, ε = cζ"}


def test_a_family_without_heavy_tails_does_not_refute(broken):
    """ε = M⁻¹ e, surely: d_ε/δ falls like 1/M, which the printed bound allows."""

    def tamed(*a, perturbations, **k):
        scaled = perturbations / (perturbations**2).sum(-1)[:, None]
        return distances(*a, perturbations=scaled, **k).cummax(1).values

    broken.setattr(theorem_4_1, "divergence", tamed)
    assert "refuted" not in printed(verdicts("theorem_4_1", "heavy tails")).values()


@pytest.mark.parametrize("term", ["pkab,pbj", "pkia,paj", "paj,pkai", "pka,paij"])
def test_a_chain_rule_that_lacks_a_term_is_refuted(broken, term):
    einsum = torch.einsum

    def without(equation, *operands):
        return (0.0 if term in equation else 1.0) * einsum(equation, *operands)

    broken.setattr(terms_module.torch, "einsum", without)
    assert refuted(judge_all(list(theorem_4_1._chain_rule(Rows("theorem_4_1", "latent"), QUICK)))) >= {
        f"{name}: squared error of the second derivative" for name in ("F_hh", "F_zz")
    }


def test_a_bound_that_forgets_how_z_reaches_h_is_refuted(broken):
    real = rollouts.constants("latent")
    step = dataclasses.replace(real.step, from_latent=0.0)
    wrong = dataclasses.replace(real, step=step, weighted=None)
    for module in (theorem_4_1, certified_bounds, corollary_4_2):
        broken.setattr(module, "constants", lambda *a: wrong)
    measured = rollouts.sample_rollouts("latent", QUICK)
    assert refuted(judge_all(list(theorem_4_1._certified(Rows("theorem_4_1", "latent"), measured)))) == {
        "log of d_ε over K E‖ε‖²"
    }
    assert refuted(verdicts("certified_bounds", "latent"))
    found = judge_all(list(corollary_4_2._derivative_bounds(Rows("corollary_4_2", "latent"), QUICK)))
    assert refuted(found) == {"log of E sup ‖∂_i x‖² over its bound"}


def test_a_rate_of_the_wrong_sign_is_refuted(broken):
    real = rollouts.constants("latent")
    broken.setattr(certified_bounds, "constants", lambda *a: dataclasses.replace(real, rate=-real.rate))
    assert "log of E ‖x^ε − x⁰‖² over its bound" in refuted(verdicts("certified_bounds", "latent"))


def test_a_leak_counted_twice_is_refuted_path_by_path(broken_certificate):
    rate = SlopeNetwork.mean_square_rate
    broken_certificate.setattr(SlopeNetwork, "mean_square_rate", lambda *a, **k: rate(*a, **k) - certified_bounds.LEAK)
    found = refuted(verdicts("certified_bounds", certified_bounds.ADDITIVE))
    assert "log of ‖x^ε − x⁰‖ over its bound, largest of all paths" in found


@pytest.mark.parametrize("side", ["upper", "lower"])
def test_bounds_along_paths_that_are_a_little_too_sharp_are_refuted(broken, side):
    """By a part in a thousand millions: without the remainder they are wrong by more."""
    honest = certified_bounds.certify

    def sharper(*args, **kwargs):
        found = honest(*args, **kwargs)
        factor = {"upper": 1 - 1e-9, "lower": 1 + 1e-9}[side]
        return dataclasses.replace(found, **{side: getattr(found, side) * factor})

    broken.setattr(certified_bounds, "certify", sharper)
    found = judge_all(list(certified_bounds._along_paths(Rows("certified_bounds", "latent"), QUICK)))
    assert [v.reading for v in found if v.status == "refuted"] == [f"{side} bound"]


def test_a_bound_on_one_column_is_none_on_the_matrix(broken):
    """(18) is about ‖Φ‖_F: without the factor n the bound fails at once."""
    broken.setattr(fundamental_matrix_bound, "supremum_from_mean_square", lambda s, *a: [v / 9 for v in s])
    assert "log of E sup ‖Φ‖² over its bound" in refuted(verdicts("fundamental_matrix_bound", "latent"))


def test_slopes_that_do_not_grow_do_not_refute(broken):
    broken.setattr(fundamental_matrix_bound, "frozen_supremum", lambda m: 4.0)
    assert "refuted" not in printed(verdicts("fundamental_matrix_bound", "frozen slopes")).values()


def test_frozen_slopes_closed_form_is_what_the_solver_finds():
    """The exact enumeration of a against Φ by the solver, on the same grid."""
    from sdewm.divergence.distances import fundamental_supremum
    from sdewm.noise.grid import TimeGrid
    from sdewm.systems.sde import FunctionSDE

    def drift(t, x):
        return torch.stack([x[..., 0] * x[..., 1], 0 * x[..., 1]], -1)

    grid, m = TimeGrid(0.0, 1.0, 40), 4.0
    total = 0.0
    for a, probability in ((m, m**-2), (0.0, 1 - m**-2)):
        phi = fundamental_supremum(
            FunctionSDE(drift), torch.tensor([0.0, a], dtype=torch.float64), grid, noise=torch.zeros(40, 1, 2).double()
        )
        total += probability * float(phi[-1, 0])
    assert total == pytest.approx(fundamental_matrix_bound.frozen_supremum(m, 1.0, 40), rel=1e-12)


def test_an_expansion_without_its_half_has_rate_two(broken):
    real = corollary_4_2.solve

    def doubled(*a, **k):
        """The second coefficient of the state doubled, as if ½ ε^iε^j ∂²_ij x had no half."""
        x = real(*a, **k)
        if isinstance(x, Jet):
            x.coefficients[2] *= 2
        return x

    broken.setattr(corollary_4_2, "solve", doubled)
    assert refuted(judge_all([corollary_4_2._rate(Rows("corollary_4_2", "latent"), "latent", QUICK)])) == {
        "rate of the remainder of Q in ‖ε‖"
    }


@pytest.mark.parametrize("mutation", ["sign", "terms of the action"])
def test_wrong_implicit_derivatives_are_refuted(broken, mutation):
    real = policy_module.LocalMaximizer.derivatives

    def wrong(self, h, z):
        first, second = real(self, h, z)
        if mutation == "sign":
            return -first, second
        # What is left where the four terms are cut to Q_axx.
        a, hessian, _ = self.solve(h, z)
        n = h.shape[-1] + z.shape[-1]
        third = policy_module.derivatives(
            lambda y: self.q(y[..., :3], y[..., 3:n], y[..., n:]), torch.cat([h, z, a], -1), 3
        )[2][:, n:, :n, :n]
        return first, -torch.linalg.solve(hessian, third.flatten(2)).view_as(third)

    broken.setattr(policy_module.LocalMaximizer, "derivatives", wrong)
    found = verdicts("policy_maximizer", "network Q")
    assert any(v.status == "refuted" for v in found)
    if mutation == "sign":
        assert "refuted" in printed(found).values()


@pytest.mark.parametrize("kind", ["concave", "saturating"])
def test_a_loss_that_is_not_convex(broken, kind):
    """S < 0 for −½|s̃|²; for tanh |s̃|² it is positive in the mean and not on every path."""

    def loss(x):
        squared = (x[:, 7:9] ** 2).sum(-1)
        return -0.5 * squared if kind == "concave" else torch.tanh(squared)

    broken.setattr(convex_loss, "losses", lambda system: {"squared errors": as_summed(loss, system.grid)})
    found = verdicts("convex_loss", "latent")
    assert refuted(found) == {"−S ≤ 0 on every path"}
    assert printed(found) == {"−S ≤ 0": "refuted" if kind == "concave" else "verified"}
