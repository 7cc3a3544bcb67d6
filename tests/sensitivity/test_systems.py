"""Systems of derivatives: the same map as jets, by every stepper; both calculi; (45) and (53)."""

from __future__ import annotations

import math

import pytest
import torch
from support import F64, refuses

from sdewm.exact import reference
from sdewm.jets import Jet, JetSpace, Parameter
from sdewm.noise.brownian import BrownianPath
from sdewm.noise.grid import TimeGrid
from sdewm.noise.increments import StoredIncrements
from sdewm.paper.flow import SECOND_READINGS, PrintedSecondVariationSDE, printed_flow_exponents
from sdewm.sensitivity import (
    DoNotCommute,
    FundamentalMatrixSDE,
    InverseMatrixSDE,
    SecondVariationSDE,
    SensitivitySDE,
    ShiftedStart,
    commutators,
    commuting_flow,
    flow_exponent,
    fundamental_matrix,
    initial_value_derivatives,
    jacobian,
    second_derivative,
)
from sdewm.solvers.solve import solve
from sdewm.systems.calculus import to_stratonovich
from sdewm.systems.sde import FunctionSDE
from theory_checks.flows import FLOWS, MIXED, NILPOTENT, Flow

STEPPED = ("gbm", "linear", "time-dependent")
METHODS = ("euler", "milstein", "sri2", "platen-weak")


def brownian(flow: Flow, level: int = 3, paths: int = 4):
    return BrownianPath(1, paths, flow.channels, 0.0, flow.horizon).at(level, finest=level)


def directions(flow: Flow) -> torch.Tensor:
    return torch.randn(2, len(flow.x0), generator=torch.Generator().manual_seed(5), dtype=F64)


def close(value, truth):
    torch.testing.assert_close(value, truth, rtol=1e-12, atol=1e-13)


# -- systems against jets, to rounding


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", STEPPED)
def test_differentiating_a_stepper_is_stepping_the_system(name, method):
    """Sensitivities in ε and in the initial value, on noises that commute and that do not, with time in them."""
    flow, noise = FLOWS[name](), brownian(FLOWS[name]())
    grid = flow.grid(noise.steps)

    def run(system, *start):
        return system.split(solve(system, system.initial(flow.x0, *start), grid, method=method, noise=noise))

    jets = solve(flow.family.at(Parameter(JetSpace(1, 2), 0)), flow.x0, grid, method=method, noise=noise)
    for part, order in zip(run(SensitivitySDE(flow.family)), range(3), strict=True):
        close(part, jets.derivative((order,)))
    close(
        run(FundamentalMatrixSDE(flow.base))[1],
        fundamental_matrix(flow.base, flow.x0, grid, method=method, noise=noise),
    )
    u, v = directions(flow)
    found = initial_value_derivatives(
        flow.base, flow.x0, grid, directions=torch.stack([u, v]), method=method, noise=noise
    )
    x, first_u, first_v, second = run(SecondVariationSDE(flow.base), u, v)
    for part, truth in ((x, found.x), (first_u, found.first[..., 0]), (first_v, found.first[..., 1])):
        close(part, truth)
    close(second, found.second[..., 0, 1])


def test_the_sensitivities_away_from_zero():
    """(36) and (37) at ε = 0.4 against the jet about 0.4."""
    flow = FLOWS["time-dependent"]()
    noise, grid = flow.increments(flow.grid(8), 4, 0), flow.grid(8)
    system = SensitivitySDE(flow.family, 0.4)
    parts = system.split(solve(system, system.initial(flow.x0), grid, noise=noise))
    parameter = Parameter(JetSpace(1, 2), 0)

    class About:
        sde_type, noise_type = "ito", "scalar"

        def f(self, t, x):
            return flow.base.f(t, x) + 0.4 * flow.family.error.f(t, x) + parameter * flow.family.error.f(t, x)

        def g(self, t, x):
            return flow.base.g(t, x) + 0.4 * flow.family.error.g(t, x) + parameter * flow.family.error.g(t, x)

    jets = solve(About(), flow.x0, grid, noise=noise)
    for part, order in zip(parts, range(3), strict=True):
        close(part, jets.derivative((order,)))


@pytest.mark.parametrize("kind", [FundamentalMatrixSDE, InverseMatrixSDE, SecondVariationSDE])
@pytest.mark.parametrize("name", STEPPED)
def test_the_two_calculi_give_one_system(kind, name):
    """The system of the Stratonovich form is the Stratonovich form of the system, coefficient by coefficient."""
    flow = FLOWS[name]()
    n = len(flow.x0)
    size = 4 * n if kind is SecondVariationSDE else n + n * n
    x = torch.randn(3, size, generator=torch.Generator().manual_seed(2), dtype=F64)
    t = torch.tensor(0.3, dtype=F64)
    one, other = to_stratonovich(kind(flow.base)), kind(to_stratonovich(flow.base))
    close(one.f(t, x), other.f(t, x))
    close(one.g(t, x), other.g(t, x))


def test_heun_on_the_stratonovich_form_inverts_at_its_order():
    """ΦΦ⁻¹ − I falls by four when Δt does, for scalar noise: Heun's order is 1, and the error's mean square 2."""
    flow = FLOWS["time-dependent"]()
    base, gaps = to_stratonovich(flow.base), []
    for level in (3, 5):
        noise, grid = brownian(flow, level, 128), flow.grid(2**level)
        parts = [
            s.split(solve(s, s.initial(flow.x0), grid, method="heun", noise=noise))[1]
            for s in (FundamentalMatrixSDE(base), InverseMatrixSDE(base))
        ]
        gaps.append(float((parts[0] @ parts[1] - torch.eye(2, dtype=F64)).square().mean().sqrt()))
    assert 3 < gaps[0] / gaps[1] < 5.5


def test_coefficients_agree_with_their_products():
    flow = FLOWS["linear"]()
    dB, t = torch.randn(3, 2, generator=torch.Generator().manual_seed(0), dtype=F64), torch.tensor(0.1, dtype=F64)
    for system in (InverseMatrixSDE(flow.base), SensitivitySDE(flow.family)):
        x = torch.randn(3, system.initial(flow.x0).shape[-1], generator=torch.Generator().manual_seed(1), dtype=F64)
        close(system.g_prod(t, x, dB), (system.g(t, x) * dB[:, None]).sum(-1))


# -- derivatives


def test_all_derivatives_and_those_along_directions():
    """∂²x is symmetric, and bilinear: the full table contracted with u and v is the directional one."""
    base, x0, grid = reference.latent_model(), reference.initial_state(), TimeGrid(0.0, 1.0, 8)
    noise = 0.3 * torch.randn(8, 3, 6, generator=torch.Generator().manual_seed(3), dtype=F64)
    everything = initial_value_derivatives(base, x0, grid, noise=noise)
    pair = torch.randn(2, 9, generator=torch.Generator().manual_seed(4), dtype=F64)
    along = initial_value_derivatives(base, x0, grid, directions=pair, noise=noise)
    close(everything.first, fundamental_matrix(base, x0, grid, noise=noise))
    close(everything.second, everything.second.mT)
    torch.testing.assert_close(torch.einsum("pnij,ui,vj->pnuv", everything.second, pair, pair), along.second)


def test_directions_of_the_wrong_shape_are_refused():
    flow = FLOWS["gbm"]()
    with refuses(ValueError, "directions", "(d, 1)", "(2, 3)"):
        initial_value_derivatives(
            flow.base, flow.x0, flow.grid(2), directions=torch.zeros(2, 3), noise=torch.zeros(2, 1, 1, dtype=F64)
        )


def test_jacobians_of_jets_are_jets_of_jacobians():
    """∂(sin(Ax)) along a path in x, against the closed form."""
    x0, v = torch.tensor([[0.3, -0.8]], dtype=F64), torch.tensor([[1.0, 0.5]], dtype=F64)

    def function(x):
        return torch.sin(x @ MIXED.T)

    found = jacobian(function, Jet(torch.stack([x0, v]), JetSpace(1, 1)))
    inner = x0 @ MIXED.T
    close(found.value, torch.cos(inner)[..., None] * MIXED)
    close(found.coefficients[1], (-torch.sin(inner) * (v @ MIXED.T))[..., None] * MIXED)
    close(second_derivative(function, x0, v, v), -torch.sin(inner) * (v @ MIXED.T) ** 2)


def test_what_does_not_look_at_the_state_has_zero_derivatives_of_the_right_shape():
    """More paths than coordinates, so that neither can stand for the other."""
    x = torch.ones(7, 3, dtype=F64)
    assert torch.equal(jacobian(lambda y: torch.ones(7, 2, 4, dtype=F64), x), torch.zeros(7, 2, 4, 3, dtype=F64))


def test_a_shifted_start_is_a_shifted_solution():
    flow = FLOWS["time-dependent"]()
    grid, u = flow.grid(8), torch.tensor([0.6, 0.8], dtype=F64)
    noise = flow.increments(grid, 3, 1)
    shifted = solve(ShiftedStart(flow.base, u).at(0.1), flow.x0, grid, noise=noise)
    close(shifted + 0.1 * u, solve(flow.base, flow.x0 + 0.1 * u, grid, noise=noise))


# -- (45) and (53)


def test_the_nilpotent_witness():
    """Φ = I + A B_t; as printed the corner is e^{−t/2}."""
    flow, noise = FLOWS["nilpotent"](), StoredIncrements(FLOWS["nilpotent"]().increments(TimeGrid(0.0, 1.0, 16), 5, 0))
    grid = flow.grid(16)
    truth = torch.eye(2, dtype=F64) + noise.values.sum(0)[..., None] * NILPOTENT
    close(commuting_flow(flow.base, flow.x0, grid, noise=noise), truth)
    close(fundamental_matrix(flow.base, flow.x0, grid, noise=noise), truth)
    for exponent in printed_flow_exponents(flow.base, flow.x0, grid, noise=noise).values():
        printed = torch.linalg.matrix_exp(exponent)
        torch.testing.assert_close(printed[:, 0, 0], torch.full((5,), math.exp(-0.5), dtype=F64))


def test_the_exponent_of_geometric_brownian_motion():
    """μ T + σ B_T − ½ σ² T, whatever the grid; its exponential is not Euler's Φ, but the limit."""
    sde = FunctionSDE(lambda t, x: 0.3 * x, lambda t, x: 0.7 * x)
    grid, x0 = TimeGrid(0.0, 2.0, 5), torch.tensor([1.5], dtype=F64)
    noise = StoredIncrements(torch.randn(5, 4, 1, generator=torch.Generator().manual_seed(0), dtype=F64))
    truth = 0.3 * 2.0 + 0.7 * noise.values.sum(0) - 0.5 * 0.7**2 * 2.0
    close(flow_exponent(sde, x0, grid, noise=noise)[..., 0], truth)
    close(commuting_flow(sde, x0, grid, noise=noise)[..., 0], truth.exp())


@pytest.mark.parametrize("name", ["linear", "two-noises", "rotating", "time-dependent"])
def test_jacobians_that_do_not_commute_are_refused(name):
    flow = FLOWS[name]()
    grid = flow.grid(12)
    noise = StoredIncrements(flow.increments(grid, 3, 0))
    with refuses(DoNotCommute, "‖AB − BA‖", "fundamental_matrix") as stopped:
        commuting_flow(flow.base, flow.x0, grid, noise=noise)
    assert (stopped.value.commutator, stopped.value.relative) == commutators(flow.base, flow.x0, grid, noise=noise)
    assert stopped.value.relative > 0.01


def test_the_size_of_a_commutator():
    flow = FLOWS["two-noises"]()
    A, B = (column for column in (flow.base.g(torch.zeros(()), torch.eye(2, dtype=F64)).movedim(-1, 0).mT))
    grid = flow.grid(2)
    absolute, relative = commutators(flow.base, flow.x0, grid, noise=StoredIncrements(flow.increments(grid, 1, 0)))
    size = float(torch.linalg.matrix_norm(A @ B - B @ A))
    assert absolute == pytest.approx(size, rel=1e-12)
    # The two diffusions are the Jacobians that commute least.
    norms = float(torch.linalg.matrix_norm(A) * torch.linalg.matrix_norm(B))
    assert relative == pytest.approx(size / norms, rel=1e-12)


def test_a_stratonovich_sde_has_another_exponent():
    flow = FLOWS["gbm"]()
    noise = StoredIncrements(flow.increments(flow.grid(2), 1, 0))
    with refuses(ValueError, "sde.sde_type", "'ito'", "'stratonovich'"):
        flow_exponent(to_stratonovich(flow.base), flow.x0, flow.grid(2), noise=noise)


def test_the_printed_second_derivative_on_a_quadratic():
    """dx = x² dt, one Euler step of Δt = 1 from x0: ∂x = 1 + 2 x0, ∂²x = 2; as printed 1 + 2, 0 and 2."""
    sde, one = FunctionSDE(lambda t, x: x * x), torch.ones(1, dtype=F64)
    x0, grid, noise = torch.tensor([0.25], dtype=F64), TimeGrid(0.0, 1.0, 1), torch.zeros(1, 1, 1, dtype=F64)

    def run(system):
        return [float(p) for p in system.split(solve(system, system.initial(x0, one, one), grid, noise=noise))]

    assert run(SecondVariationSDE(sde)) == pytest.approx([0.3125, 1.5, 1.5, 2.0])
    printed = [run(PrintedSecondVariationSDE(sde, reading))[3] for reading in SECOND_READINGS]
    assert printed == pytest.approx([3.0, 0.0, 2.0])
    with refuses(ValueError, "reading", "got 'mine'"):
        PrintedSecondVariationSDE(sde, "mine")
