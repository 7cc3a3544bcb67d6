"""What each of the six terms adds to the expected loss: as printed beside as corrected, with error bars."""

from __future__ import annotations

from pathlib import Path

from sdewm.drawing import CORRECTED, MEASURED, OTHER, PRINTED, save, styled
from sdewm.figures.record import checks, lines

SYSTEM = "latent"
ROUTES = {
    "jets": ("corrected, by jets", CORRECTED, None),
    "variation of constants": ("corrected, by variation of constants", MEASURED, "...."),
    "literal": ("printed, read literally", PRINTED, "////"),
    "drift in Φ, sums from k = 0, Φξ in H": ("printed, most charitable reading", OTHER[1], "\\\\\\\\"),
}
NAMES = {"P": "P", "Q": "Q  (½Q)", "S": "½S", "P~": "P̃", "Q~": "Q̃", "S~": "S̃"}


def draw(results: Path, out: Path) -> list[Path]:
    found = lines(checks(results), "corollary_3_8", SYSTEM)
    width = 0.8 / len(ROUTES)
    with styled(7.2, 3.2) as figure:
        axes = figure.subplots()
        for i, (route, (label, look, hatch)) in enumerate(ROUTES.items()):
            curve = found[route]
            assert curve.stderr is not None
            at = [x + (i - (len(ROUTES) - 1) / 2) * width for x in curve.x]
            axes.bar(
                at, curve.y, width, yerr=[2 * e for e in curve.stderr], label=label, color=look.color, hatch=hatch,
                edgecolor="white", linewidth=0.4, error_kw={"lw": 0.8, "ecolor": "#111111"},
            )  # fmt: skip
        terms = found["jets"].config["terms"]
        axes.set_xticks(range(len(terms)), [NAMES[t] for t in terms])
        axes.axhline(0, color="#111111", lw=0.6)
        axes.set_ylabel("part of the coefficient of ε or ε²")
        axes.legend(loc="best")
        axes.set_title(
            "Reference latent model: P, P̃ are right if the equation of Φ includes the drift; the ε² terms are wrong\n"
            f"(two standard errors, {found['jets'].config['paths']:,} paths; printed ε²(Q + ½S), corrected ½ε²(Q + S))"
        )
        return save(figure, out, "terms")
