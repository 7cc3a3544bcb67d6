"""An audit finds what is known of a linear world, and says where it cannot be trusted."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from importlib.resources import files

import jsonschema
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from support import refuses

from sdewm import Estimate
from sdewm.adapters import Recording
from sdewm.adapters.gaussian_rssm import latent_spread
from sdewm.auditing import ModelAudit, audit
from sdewm.auditing.open_loop_error import follow
from sdewm.auditing.over_episodes import ratio_over
from sdewm.auditing.rollouts import error_growth

ANGLE = 0.4
SMALL = {"horizon": 8, "context": 4, "steps": 4, "paths": 64}


@pytest.fixture(scope="module")
def found(right, episodes) -> ModelAudit:
    return audit(right, episodes, **SMALL)


def schema() -> dict:
    return json.loads(files("sdewm.auditing").joinpath("audit.schema.json").read_text(encoding="utf-8"))


def test_a_model_that_knows_the_world_is_trusted_to_the_end(found):
    assert found.trusted and found.trust_horizon == 8
    assert str(found).startswith("linear: predictions can be trusted for 8 steps. Up to 8 steps ahead")


def test_errors_grow_as_the_matrix_says(found):
    for n in range(1, 9):
        expected = math.sqrt(2) * 0.5 * 0.9**n
        for growth in (found.growth[n], found.small_growth[n]):
            assert growth.mean == pytest.approx(expected, rel=1e-9) and growth.stderr < 1e-9
    for divergence in (found.divergence, found.small_divergence):
        assert divergence.mean == pytest.approx(1.0)


def test_the_large_error_is_half_the_latents_spread(right, episodes):
    followed = [follow(right, right.recording(e), 4, 8) for e in episodes]
    spread = latent_spread([f.filtered for f in followed])
    growth, _ = error_growth(right, followed, 8, spread, seed=0)
    assert growth.size.mean() == pytest.approx(float((0.5 * spread).square().sum()), rel=0.05)


def test_norms_are_those_of_the_matrix(found):
    assert found.log_norm.mean == pytest.approx(0.45 * math.cos(ANGLE) - 1)
    assert found.log_sigma.mean == pytest.approx(math.log(0.45))
    assert found.expanding.mean == 0


def test_the_errors_are_those_of_the_guesses(right, episodes):
    """By hand, one step ahead: from every start of every episode."""
    found = audit(right, episodes, **(SMALL | {"horizon": 1}))
    model, mean, last = [], [], []
    middle = torch.cat([e.observations for e in episodes]).mean(0)
    for e in episodes:
        filtered, at = right.filter(right.recording(e)), torch.arange(3, 59)
        said = right.recurrent(filtered.h[at], filtered.mean[at], e.actions[at])
        truth = e.observations[at + 1]
        for rows, guess in ((model, said), (mean, middle), (last, e.observations[at])):
            rows.append(float((guess - truth).square().mean()))
    assert found.windows == 6 * 56
    assert found.against_mean[0].mean == pytest.approx(sum(model) / sum(mean))
    assert found.against_last[0].mean == pytest.approx(sum(model) / sum(last))


def test_expansions_agree_with_simulations_and_one_that_does_not_is_seen(found):
    assert len(found.expansions) == 6 and all(e.agrees for e in found.expansions)
    [drift] = [e for e in found.expansions if e.error == "drift" and e.episode == 0]
    wrong = replace(drift, predicted=replace(drift.predicted, mean=2 * drift.predicted.mean + 1))
    assert wrong.agrees is False
    assert any("disagree with a simulation" in c for c in replace(found, expansions=(wrong,)).cautions)


def test_a_wrong_model_has_no_trust_horizon_and_the_reason_is_said(wrong, episodes):
    found = audit(wrong, episodes, **SMALL)
    assert found.trusted and found.trust_horizon == 0
    assert found.verdict.startswith("wrong: no trust horizon. 1 step ahead the error is")
    assert found.as_record()["trust horizon"] is None


def test_one_episode_cannot_be_trusted(right, episodes):
    found = audit(right, episodes[:1], **SMALL)
    assert not found.trusted and found.trust_horizon == 0
    assert "this audit cannot be trusted. There is one episode" in str(found)
    record = json.loads(json.dumps(found.as_record(), allow_nan=False))
    jsonschema.validate(record, schema())
    assert record["open loop"]["against mean"][0]["stderr"] is None


def test_a_gap_ends_the_horizon_and_what_lies_beyond_is_said(found):
    values = [Estimate(m, 0.05, 60, 5) for m in (0.5, 0.5, 1.2, 0.5, 0.5, 0.5, 0.5, 0.5)]
    gap = replace(found, against_last=tuple(values))
    assert gap.trust_horizon == 2
    assert gap.why.startswith("3 steps ahead the error is 1.2 times the last frame's, 95 % interval 1.1 to 1.3.")
    assert gap.why.endswith("Further on predictions beat both guesses at 5 of 5 steps, 4 to 8.")
    wide = replace(found, against_mean=(Estimate(0.9, 0.2, 60, 5), *found.against_mean[1:]))
    assert wide.trust_horizon == 0 and "so that it is not known to be smaller" in wide.why


def test_the_same_seed_gives_the_same_numbers(right, episodes, found):
    assert audit(right, episodes, **SMALL) == found
    other = audit(right, episodes, seed=1, **SMALL)
    assert other.expansions[0].first != found.expansions[0].first and other.against_mean == found.against_mean


def test_the_json_is_as_its_schema_says(found, tmp_path):
    found.to_json(tmp_path / "audit.json")
    record = json.loads((tmp_path / "audit.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(record, schema())
    for broken in (
        {**record, "trust horizon": 0},
        {**record, "format": "other"},
        {key: value for key, value in record.items() if key != "growth"},
        {**record, "divergence": {"small": record["divergence"]["small"]}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(broken, schema())


def test_it_draws(found):
    axes = found.plot()
    assert axes.has_data() and len(axes.get_lines()) == 3
    plt.close("all")


def test_the_error_of_a_ratio_is_a_jackknifes():
    values = np.array([1.0, 3.0, 4.0, 8.0])
    mean = ratio_over(values, np.ones(4), 4)
    assert (mean.mean, mean.dof) == (4.0, 3)
    assert mean.stderr == pytest.approx(values.std(ddof=1) / 2)


def test_intervals_of_ratios_hold_the_truth_about_as_often_as_they_say():
    """Six episodes, log-normal errors of which two in a pair share most."""
    generator, trials = np.random.default_rng(0), 2000
    covered = 0
    for _ in range(trials):
        shared, own, other = generator.normal(size=(3, 6))
        above, below = np.exp(0.4 * shared + 0.2 * own), 2 * np.exp(0.4 * shared + 0.2 * other)
        low, high = ratio_over(above, below, 6).interval(0.95)
        covered += low < 0.5 < high
    assert 0.92 < covered / trials < 0.98


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"episodes": []}, "episodes: expected at least one, got none"),
        ({"horizon": 70}, "episodes: expected at least 74 observations in each"),
        ({"horizon": 0}, "horizon: expected an integer of at least 1"),
        ({"model": torch.nn.Linear(2, 2)}, "model: expected a GaussianRSSM"),
        ({"paths": 4}, "paths: expected an integer of at least 32"),
        ({"episodes": [Recording(torch.zeros(60, 3), torch.zeros(60, 2))]}, "posterior"),
    ],
)
def test_what_cannot_be_audited_is_named(right, episodes, changed, words):
    given = {"model": right, "episodes": episodes, **SMALL, **changed}
    with refuses((ValueError, TypeError), words):
        audit(given.pop("model"), given.pop("episodes"), **given)
