"""Errors of the encoder: what is added to z, in training and in evaluation (the paper's Section 5 and D.5)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from sdewm import arguments
from sdewm.worldmodel.config import Config

ErrorKind = Literal["none", "zero-drift", "non-zero-drift"]
Redraw = Literal["step", "episode"]
Unit = Literal["absolute", "spread"]


@dataclass(frozen=True)
class EncoderError:
    """An error added to every coordinate of z at every step, e_t ~ N(μ_t, σ_t²), independent given μ and σ².

    - "zero-drift": μ = 0 and σ² = ``variance``.
    - "non-zero-drift": μ ~ U[0, ``mean``] and σ² ~ U[0, ``variance``], one number each for all coordinates, drawn
      anew at every step or once for a sequence (``redraw``). The paper says neither; the step is the default.
    - ``unit="spread"``: in units of each latent coordinate's own standard deviation over the data, since σ² = 5 is more
      than two of a trained latent's deviations (about 1).

    Raises ``ValueError`` for another text, for a negative mean or variance, and for one that the kind does not use.
    """

    kind: ErrorKind = "none"
    variance: float = 0.0
    mean: float = 0.0
    redraw: Redraw = "step"
    unit: Unit = "absolute"

    def __post_init__(self) -> None:
        for name, allowed in (("kind", ErrorKind), ("redraw", Redraw), ("unit", Unit)):
            arguments.choice(name, getattr(self, name), get_args(allowed))
        for name in ("variance", "mean"):
            object.__setattr__(self, name, arguments.real(name, getattr(self, name), least=0.0))
        if self.kind == "none" and self.variance:
            raise ValueError(f"variance: expected 0 without an error, got {self.variance}")
        if self.kind != "non-zero-drift" and self.mean:
            raise ValueError(f"mean: expected 0 without a drift, got {self.mean}")

    @staticmethod
    def of(config: Config) -> EncoderError:
        """The error that a run is configured with."""
        return EncoderError(
            config.error, config.error_variance, config.error_mean, config.error_redraw, config.error_unit
        )

    def draw(
        self, sequences: int, steps: int, spread: Float[Tensor, " z"], generator: torch.Generator
    ) -> Float[Tensor, "batch times z"] | None:
        """Errors (batch, steps, stoch) of training sequences, one a row, in z's own unit; None for none.

        ``spread`` (stoch,) is that of z.
        """
        if self.kind == "none":
            return None
        sequences, steps = arguments.integer("sequences", sequences, 1), arguments.integer("steps", steps, 1)
        law = self._law(sequences, 1 if self.redraw == "episode" else steps, generator, spread.dtype)
        return self._sample(law, (sequences, steps, len(spread)), spread, generator)

    def stream(self, spread: Float[Tensor, " z"], generator: torch.Generator) -> Iterator[Float[Tensor, "1 z"] | None]:
        """Errors (1, stoch) of one episode of unknown length, one a step."""
        if self.kind == "none":
            yield from itertools.repeat(None)
        law = self._law(1, 1, generator, spread.dtype)
        while True:
            yield self._sample(law, (1, 1, len(spread)), spread, generator)[0]
            if self.redraw == "step":
                law = self._law(1, 1, generator, spread.dtype)

    def _law(self, sequences: int, steps: int, generator: torch.Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """μ and σ², both (sequences, steps, 1)."""
        if self.kind == "zero-drift":
            zeros = torch.zeros(sequences, steps, 1, dtype=dtype)
            return zeros, torch.full_like(zeros, self.variance)
        mean, variance = torch.rand(2, sequences, steps, 1, generator=generator, dtype=dtype)
        return self.mean * mean, self.variance * variance

    def _sample(
        self, law: tuple[Tensor, Tensor], shape: tuple[int, ...], spread: Tensor, generator: torch.Generator
    ) -> Tensor:
        mean, variance = law
        error = mean + variance.sqrt() * torch.randn(shape, generator=generator, dtype=spread.dtype)
        error = error * spread if self.unit == "spread" else error
        if not bool(error.isfinite().all()):
            raise ValueError(
                f"mean, variance: expected what {error.dtype} can hold, got {self.mean:g} and {self.variance:g}"
            )
        return error
