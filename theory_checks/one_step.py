"""(5)–(8) as the continuous-time analogues of (1)–(4): their Euler step of length 1 against the discrete model's own.

The discrete step is written with the trained network's layers: h is the cell's output; z, z̃ and s̃ are sampled around
the outputs of posterior, prior and decoder at the new h. In (5)–(8) these maps are the drifts, so that an Euler step
adds their outputs to the state. With the drifts map − state, and the blocks updated in order, the Euler step is the
discrete model, to rounding.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sdewm.expansion.forms import Form
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.methods import Method
from sdewm.solvers.solve import solve
from sdewm.systems.blocks import Blocks
from sdewm.verdicts.judge import Row
from sdewm.verification.settings import Settings
from sdewm.worldmodel import initial_state, load_trained, recorded_observation, to_sequences
from theory_checks.claim import Claim, Part
from theory_checks.rows import Rows, exact

START, STEPS, PATHS = 10, 5, 64
ROUNDING = 1e-12
QUANTITY = "distance of {} from the model's own"
NAMES = {"z": "(5)", "h": "(6)", "z_tilde": "(7)", "s_tilde": "(8)"}
# Reading, drifts less so many times the state, order of the blocks.
READINGS: tuple[tuple[Form, str, float, Method], ...] = (
    ("printed", "all blocks at once", 0.0, "euler"),
    ("printed", "in the order of (1)–(4)", 0.0, "euler-sequential"),
    ("corrected", "q_enc − z, f − h, p − z̃, q_dec − s̃, in order", 1.0, "euler-sequential"),
)


@torch.no_grad()
def check(rows: Rows, settings: Settings) -> Iterator[Row]:
    agent, episodes = load_trained()
    model, episode = agent.world_model, to_sequences(episodes[0][None], torch.float64)
    observations = episode.observations[0]
    sde, x0 = agent.as_sde(observations), initial_state(model, observations, episode.actions[0], START)
    frames = recorded_observation(model, observations)
    grid = TimeGrid(float(START), float(START + STEPS), STEPS)
    generator = torch.Generator().manual_seed(settings.seed)
    channels = sde.sizes.z + sde.sizes.z_tilde
    noise = torch.randn(STEPS, PATHS, channels, generator=generator, dtype=x0.dtype)

    x = Blocks(*(x0[part].expand(PATHS, -1) for part in sde.block_slices))
    for n, dB in enumerate(noise, START + 1):
        encoder, predictor = dB.split([sde.sizes.z, sde.sizes.z_tilde], -1)
        h = model.sequence(x.h, x.z, agent.actor.mode(x.h, x.z))
        posterior = model.posterior(h, model.embed(frames(n).unsqueeze(0)).expand(PATHS, -1))
        prior = model.prior(h)
        z_tilde = prior.mean + prior.std * predictor
        x = Blocks(posterior.mean + posterior.std * encoder, h, z_tilde, model.s_tilde(h, z_tilde))

    for form, reading, leak, method in READINGS:
        sde.leak = leak
        end = solve(sde, x0, grid, method=method, noise=noise)
        for name, part in sde.block_slices._asdict().items():
            truth = getattr(x, name)
            distance = _root_mean_square(end[:, part] - truth) / _root_mean_square(truth)
            yield rows.equal(
                QUANTITY.format(NAMES[name]),
                form,
                reading,
                exact(distance, PATHS, settings.seed),
                numerical=ROUNDING,
                margin=2 * ROUNDING,
                config={"steps": STEPS, "in parts of": "the root mean square of the model's own"},
            )


def _root_mean_square(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


CLAIM = Claim(
    "one_step",
    ("(1)", "(2)", "(3)", "(4)", *(Part(n, quantity=QUANTITY.format(n)) for n in NAMES.values())),
    ("trained-step",),
    check,
)
