"""(5)–(8) as the continuous-time analogues of (1)–(4): their Euler step of length 1 against the discrete model's own.

The discrete step is written with the trained network's layers: h from the cell, then z, z̃ and s̃ drawn around what
posterior, prior and decoder say of the new h. An SDE whose drifts are those maps adds what they say to what was there;
drifts that relax to them, and blocks that are stepped in order, give the discrete model to rounding.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import Tensor

from sdewm.estimate.estimates import Estimate
from sdewm.noise.grid import TimeGrid
from sdewm.solvers.loop import solve
from sdewm.solvers.methods import Method
from sdewm.systems.latent import Blocks
from sdewm.verification.settings import Settings
from sdewm.verification.verdicts import Claimed, Comparison, Form
from sdewm.worldmodel import initial_state, load_trained, recorded_observation, to_sequences

CLAIM = "one_step"
SYSTEMS = QUICK = ("trained-step",)
START, STEPS, PATHS = 10, 5, 64
ROUNDING = 1e-12
NAMES = {"z": "(5)", "h": "(6)", "z_tilde": "(7)", "s_tilde": "(8)"}
# Reading, drifts less so many times the state, order of the blocks.
READINGS: tuple[tuple[Form, str, float, Method], ...] = (
    ("printed", "all blocks at once", 0.0, "euler"),
    ("printed", "in the order of (1)–(4)", 0.0, "euler-sequential"),
    ("corrected", "q_enc − z, f − h, p − z̃, q_dec − s̃, in order", 1.0, "euler-sequential"),
)


def check(system: str, settings: Settings) -> list[Claimed]:
    return list(_rows(system, settings))


@torch.no_grad()
def _rows(system: str, settings: Settings) -> Iterator[Comparison]:
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
        began = time.perf_counter()
        sde.leak = leak
        end = solve(sde, x0, grid, method=method, noise=noise)
        for name, part in sde.block_slices._asdict().items():
            truth = getattr(x, name)
            distance = _root_mean_square(end[:, part] - truth) / _root_mean_square(truth)
            yield Comparison(
                claim=CLAIM, system=system, quantity=f"distance of {NAMES[name]} from the model's own",
                form=form, reading=reading, statistic=Estimate(distance, 0.0, PATHS, seed=settings.seed), expected=0.0,
                numerical=ROUNDING, margin=2 * ROUNDING, scale=1.0, seconds=time.perf_counter() - began,
                config={"steps": STEPS, "in parts of": "the root mean square of the model's own"},
            )  # fmt: skip


def _root_mean_square(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


if __name__ == "__main__":
    import sys

    from theory_checks.run import main

    raise SystemExit(main([CLAIM, *sys.argv[1:]]))
