"""What in the paper does not hold as printed: one entry for each finding, and where the evidence for it is.

No measured number is typed in here: a record of a report says how far off a formula is, and on what. An entry without
records rests on an argument, which it gives; witnesses that can be computed are computed in
``tests/paper/test_errata_witnesses.py``. ``python -m theory_checks --errata`` shows the ledger, and
``python -m sdewm.paper.errata > docs/errata.md`` writes it as Markdown from the recorded report.

What a run refutes must be in the ledger: :func:`without_entry` names what is not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sdewm.paper.records import REPORT, Evidence, Record, in_one_line, load, refuted_in_every_reading

ErratumKind = Literal["wrong", "misprint", "imprecise", "vacuous", "data"]

KINDS: dict[ErratumKind, str] = {
    "wrong": "what is printed is false",
    "misprint": "what is meant is clear from the context, and true",
    "imprecise": "a condition, a definition or a step of the proof is missing",
    "vacuous": "true only because a constant is free, or because the hypothesis excludes the cases of interest",
    "data": "printed numbers that contradict each other or the text",
}


@dataclass(frozen=True)
class Erratum:
    """One finding.

    ``printed`` and ``corrected`` are what the paper has and what holds, ``why`` the argument, ``witness`` the system
    or the numbers that show it; ``evidence`` is where checks refute the printed statement, by claim and
    quantity, and empty where the argument alone does.
    """

    id: str
    where: str
    printed: str
    corrected: str
    why: str
    kind: ErratumKind
    witness: str = ""
    evidence: tuple[Evidence, ...] = ()


def measured(erratum: Erratum, records: Sequence[Record]) -> str:
    """What the report says of the printed statement, one part for each piece of evidence."""
    return "; ".join(in_one_line(e.among(records, "printed")) for e in erratum.evidence) or "by argument"


def without_entry(records: Sequence[Record], errata: Sequence[Erratum] | None = None) -> list[tuple[str, str]]:
    """What a report refutes in every reading and no erratum names: pairs of claim and quantity.

    ``errata`` is the whole ledger if not given. A test asserts that the recorded report leaves none.

    >>> row = {"claim": "tables", "system": "repeated", "quantity": "new", "form": "printed", "status": "refuted"}
    >>> without_entry([row])
    [('tables', 'new')]
    """
    named = {(e.claim, e.quantity) for erratum in (ERRATA if errata is None else errata) for e in erratum.evidence}
    return [pair for pair in refuted_in_every_reading(records) if pair not in named]


def markdown(records: Sequence[Record]) -> str:
    """The ledger as a Markdown document."""
    counts = Counter(e.kind for e in ERRATA)
    lines = [
        "# Errata",
        "",
        f"{len(ERRATA)} findings, from reading every numbered statement and holding what can be held against numbers.",
        f"Written by `python -m sdewm.paper.errata` from `{REPORT}`; a row of it is behind every measured number.",
        "An entry without a check rests on its argument; its witness, where it can be computed, is computed in",
        "`tests/paper/test_errata_witnesses.py`.",
        "",
        "| kind | | entries |",
        "|---|---|---|",
        *(f"| {kind} | {meaning} | {counts[kind]} |" for kind, meaning in KINDS.items()),
    ]
    for e in ERRATA:
        lines += ["", f"## {e.id}: {e.where}", "", f"*{e.kind}*", ""]
        lines += [f"- **As printed:** {e.printed}", f"- **What holds:** {e.corrected}", f"- **Why:** {e.why}"]
        if e.witness:
            lines.append(f"- **Witness:** {e.witness}")
        for evidence in e.evidence:
            lines.append(f"- **Evidence:** check {evidence}: {in_one_line(evidence.among(records, 'printed'))}")
        if not e.evidence:
            lines.append("- **Evidence:** by argument")
    return "\n".join(lines) + "\n"


def _ablation(erratum: str, power: str = "ε²", system: str = "circle") -> Evidence:
    return Evidence("ablation", system, f"coefficient of {power}, all but {erratum}")


def _of(claim: str, *quantities: str, system: str | None = None) -> tuple[Evidence, ...]:
    return tuple(Evidence(claim, system, quantity) for quantity in quantities)


ERRATA: tuple[Erratum, ...] = (
    # -- The expansion -----------------------------------------------------------------------------------------------
    Erratum(
        "E1", "(33), hence R in (10) and (28)",
        "ε²(∇f·∂²x + ½ ∂xᵀ∇²f ∂x)",
        "½ε²(∇f·∂²x + ∂xᵀ∇²f ∂x)",
        "∂²x is the second derivative in ε, as (37) defines it; Taylor's theorem halves it.",
        "wrong",
        "dx = (σ+ε) x dB, L = x²: the ε² coefficient of E L is x₀² e^{σ²t}(t + 2σ²t²); the printed one gives "
        "x₀² e^{σ²t}(t + 3σ²t²).",
        (_ablation("E1"), Evidence("prop_b5", quantity="loss rate of the remainder past ε²"),
         Evidence("theorem_3_7", quantity="coefficient of ε²")),
    ),
    Erratum(
        "E2", "Lemma B.7",
        "(x^ε − x⁰ − ε∂x − ε²∂²x)/ε³ is bounded in mean square",
        "(x^ε − x⁰ − ε∂x − ½ε²∂²x)/ε³ is",
        "The same half. As printed the quotient is −½∂²x/ε + O(1).",
        "wrong",
        "Any system with ∂²x ≠ 0: the rate of the remainder is 2, not 3.",
        _of("lemma_b7", "strong rate of the remainder past ε²"),
    ),
    Erratum(
        "E3", "Theorem 3.7 and B.4, the equation of Φ",
        "dΦ = ∂ḡ_k Φ dB^k, over the diffusions",
        "dΦ = ∂g_k Φ dB^k with the drift as k = 0, as (43) has it",
        "Variation of constants for (39) needs the solution of its whole homogeneous equation.",
        "wrong",
        "Any system whose drift depends on the state.",
        (_ablation("E3", "ε"), _ablation("E3")),
    ),
    Erratum(
        "E4", "Theorem 3.7, ξ^k",
        "ξ = ∫ Φ⁻¹ σ̄_k dB^k",
        "ξ = ∫ Φ⁻¹ σ̄_k dB^k − ∫ Φ⁻¹ Σ ∂g_k σ̄_k ds, as (a) has it",
        "Φ⁻¹ and the integral share their noise. On (5)–(8) the correction vanishes, for q̄_enc does not depend on z.",
        "wrong",
        "The circle; on the latent models the correction is zero to rounding.",
        (_ablation("E4", "ε"), _ablation("E4"), Evidence("theorem_3_7", quantity="coefficient of ε"),
         Evidence("corollary_3_8", quantity="coefficient of ε")),
    ),
    Erratum(
        "E5", "Theorem 3.7, H^k",
        "∂²g_k[ξ, ξ]",
        "∂²g_k[Φξ, Φξ]",
        "Ψ_k is taken at ∂x = Φξ, as (40) and (b) have it.",
        "wrong",
        "The circle.",
        (_ablation("E5"),),
    ),
    Erratum(
        "E6", "(13) and (30)",
        "Q sums over k ≥ 1",
        "the drift's Hessian, k = 0, belongs in Q whether or not the error has a drift",
        "(b) has Ψ_0 in it. The paper has the term in (16) only, which belongs to the drift error.",
        "wrong",
        "The latent model (5)–(8).",
        (_ablation("E6", system="latent"),),
    ),
    Erratum(
        "E7", "(13) and (30)",
        "no term in ∂σ̄",
        "+ 2 ∂σ̄_k y in Q's integrand",
        "(40) and (b) have it. It matters where σ̄ depends on the state, as (5) allows.",
        "wrong",
        "The linear latent model (5)–(8), σ̄ depending on h.",
        (_ablation("E7", system="latent-linear"),),
    ),
    Erratum(
        "E8", "(13) and (30)",
        "no Itô correction in Q",
        "− Σ_{k≥1} ∂g_k F_k ds, as (b) has it",
        "As E4. On (5)–(8) it vanishes where f̄ = 0.",
        "wrong",
        "The latent model with a diffusion f̄ in (6).",
        (_ablation("E8", system="latent-f-bar"),),
    ),
    Erratum(
        "E9", "(16)",
        "H⁰ of ξ alone",
        "the cross and square terms in ξ̃, for every k, and ∂σ, ∂σ̄",
        "The second derivative is quadratic in ∂x = Φ(ξ + ξ̃); what is quadratic in ξ alone belongs to Q.",
        "wrong",
        "The latent model (5)–(8).",
        (_ablation("E9", system="latent"), Evidence("corollary_3_8", quantity="coefficient of ε²")),
    ),
    Erratum(
        "E10", "(17)",
        "S̃ = E Σ (Φξ̃)ᵀ∇²L(Φξ^k)",
        "+ ½ E (Φξ̃)ᵀ∇²L(Φξ̃)",
        "½ (Φ(ξ + ξ̃))ᵀ∇²L(Φ(ξ + ξ̃)) has a square in ξ̃ too.",
        "wrong",
        "The latent model (5)–(8).",
        (_ablation("E10", system="latent"),),
    ),
    Erratum(
        "E11", "(45)",
        "Φ = exp(∫A dB − ½∫AAᵀ ds)",
        "exp(∫A₀ ds + ∫A dB − ½∫A² ds), where A_k(s) and A_l(t) commute for all s, t, k and l",
        "Itô's formula for the exponential gives A², and the drift's Jacobian belongs in the exponent.",
        "wrong",
        "One noise, constant A = [[0,1],[0,0]]: Φ = I + A B_t.",
        _of("fundamental_matrix", "(45) less Φ, Δt → 0"),
    ),
    Erratum(
        "E12", "(53)",
        "d∂²_ij x = ∂²g_k[∂_i x] ∂²_ij x dB^k, started at e_j",
        "d∂²_ij x = (∂g_k ∂²_ij x + ∂²g_k[∂_i x, ∂_j x]) dB^k, started at 0",
        "Differentiate (52) once more. The start e_i does not depend on the initial value.",
        "wrong",
        "dx = sin x dt.",
        _of("initial_value", "second derivative of the flow", "∂²x[u, v]"),
    ),
    Erratum(
        "E13", "(49)",
        "Cδ(C E sup ‖∂g‖²)",
        "exp is missing, as in (56)",
        "With ∂g = 0 the printed term vanishes, and x^ε − x⁰ = ε does not.",
        "misprint",
        "dx = M x dt, as M grows.",
        _of("theorem_4_1", "growth of log d_ε in M less that of (49)"),
    ),
    Erratum(
        "E14", "Theorem 4.1, C.1, Proposition C.2",
        "d_ε ≤ δC(…) + δ²C(…) + O(δ³) with δ = E‖ε‖",
        "d_ε ≤ C E‖ε‖²: d_ε is a mean square",
        "For ε = M with probability M⁻³, else 0, δ = M⁻² and d_ε is of order M⁻¹, so d_ε/δ is unbounded as δ → 0. For "
        "ε = cζ with ζ fixed d_ε is of order δ², and the first-order term is not needed.",
        "wrong",
        "Two-point errors.",
        _of("theorem_4_1", "growth of d_ε/δ, rate in M as δ = M⁻² → 0"),
    ),
    Erratum(
        "E15", "(18), (49), (50), (56), (58), (59)",
        "exp(C E sup ‖∂g‖²)",
        "E exp(…), or exp(C ess sup …), or a C that may depend on the essential supremum",
        "Gronwall's lemma holds path by path. The expectation cannot be moved into the exponent: Jensen's inequality "
        "goes the other way.",
        "wrong",
        "A frozen random slope: dx = a x dt, da = 0, x₀ = 0, P(a = M) = M⁻².",
        _of("fundamental_matrix_bound", "growth of log E sup ‖Φ‖² in M, E sup ‖∂g‖² = 1"),
    ),
    Erratum(
        "E16", "Theorem 4.1",
        "\"J₁ and J₂\", \"H₁ and H₂\"; E sup ‖h‖² + ‖z‖²",
        "J₀ and J₁, H₀ and H₁; E sup (‖h‖² + ‖z‖²)",
        "The definitions that follow have 0 and 1, and the supremum is over both.",
        "misprint",
    ),
    Erratum(
        "E17", "Table 7",
        "eleven baseline means of its own",
        "they are the baseline means of Table 6, digit for digit",
        "The two tables are of different perturbations, and their standard deviations differ.",
        "data",
        "Table 6 and Table 7, mean (baseline).",
        _of("tables", "rows in which two experiments agree, less one"),
    ),
    Erratum(
        "E18", "Table 2, full noise, Walker",
        "means at σ² = 0.35 and 0.5",
        "Table 7 has other means at 0.35, and another baseline mean at 0.5 (but see E17)",
        "Table 2 summarizes the experiment that Table 7 reports.",
        "data",
        "",
        _of("tables", "Table 2, Walker, full, less Table 7"),
    ),
    Erratum(
        "E19", "Theorem 4.1 as an explanation of Jacobian regularization",
        "a smaller ‖∂f‖ makes divergence smaller",
        "a smaller logarithmic norm of ∂f does",
        "A recurrent cell is an Euler step of drift f = GRU − h: shrinking ∂GRU lets errors die out while ‖∂f‖ grows.",
        "imprecise",
        "Trained cells.",
        _of("leak", "growth of errors in h rises", "log E‖Φ_N‖²_F rises"),
    ),
    Erratum(
        "E64", "Section 5 on Table 3: regularization and the effect of errors on the loss",
        "the impact of errors on the loss \"can be controlled through the model's Jacobian norm\"",
        "it may fall with regularization and need not",
        "On the ladder of small models the effect of a drift error falls. On the pair of agents from pixels, trained "
        "alike but for (20), it is larger with regularization, and so is the part of it that (14) gives. That is one "
        "training seed, and no statement about others.",
        "imprecise",
        "The pair of agents that ships with the package.",
        _of("jacobian_regularization", "|E L(x^ε) − E L(x⁰)| falls", "|R̃| falls, Corollary 3.8"),
    ),
    Erratum(
        "E69", "(20): the norm without its square",
        "λ ‖J_θ‖_F as a loss",
        "½ λ ‖J_θ‖_F², as in [18], or the norm where it is not zero",
        "A norm has no derivative at zero, and its gradient has length one however small J is. The bounds (18) and "
        "(46), which (20) is derived from, have squares.",
        "imprecise",
        "J = θ, a number: the derivative of |θ| is −1 left of zero and 1 right of it.",
    ),
    Erratum(
        "E70", "D.1: one projection for the norm",
        "\"a computationally efficient approximation of the Jacobian norm … using a single projection\"",
        "√n ‖Jᵀv‖ with a random unit v underestimates the norm on average; its square is unbiased",
        "E n‖Jᵀv‖² = ‖J‖_F²; the mean of a root is at most the root of the mean (Jensen). [18] penalizes the square, "
        "(20) the norm; which of them was trained is not said.",
        "imprecise",
        "J of rank one: in the mean 0.90 of the norm in two dimensions, √(2/π) = 0.80 of it in many.",
    ),
    Erratum(
        "E71", "(20): which Jacobian",
        "‖∂g_k/∂x‖_F, \"associated with the θ-parameterized dynamics model\", \"for the sequence model\"",
        "one of the three has to be named",
        "Section 3.2.2 means drift and diffusions of the whole system in the whole state, Section 4 the dynamics "
        "model, D.1 the sequence model alone. J_θ depends on the data, and (20) has no average over them.",
        "imprecise",
    ),
    Erratum(
        "E20", "Table 2, full noise, Quadruped",
        "means at σ² = 0.35 and 0.5",
        "the column for 0.35 repeats Table 10's row for 0.30; the mean with Jacobian at 0.5 is in no row of Table 10",
        "As E18.",
        "data",
        "",
        _of("tables", "Table 2, Quad, full, less Table 10"),
    ),
    Erratum(
        "E21", "Theorem 3.7, Corollary 3.8, Theorem B.4, Proposition B.5: L ∈ C²",
        "a loss of class C² has a remainder O(ε³)",
        "C² gives o(ε²); O(ε³) needs a Lipschitz Hessian (C³ with bounded third derivative is enough)",
        "Taylor's theorem to second order leaves ε² times the modulus of continuity of ∇²L.",
        "wrong",
        "L = |x − x⁰_T|^{5/2} where the unperturbed system is deterministic: the remainder is of order ε^{5/2}.",
        _of("smoothness", "3 less the rate of the remainder past ε²"),
    ),
    Erratum(
        "E22", "Theorem 3.7 and Corollary 3.8: no growth condition on L",
        "any L of class C²",
        "L and its derivatives grow polynomially, and x₀ has the moments that this asks for",
        "Without that E L(x^ε) need not exist: with bounded coefficients, dx = (1 + ε) dB, and the smooth "
        "L = exp(x²/2T)/(1 + x²)², E L(x⁰) is finite and E L(x^ε) is infinite for every ε > 0.",
        "wrong",
        "The expectation over |x| ≤ R grows with R without bound.",
        _of("smoothness", "growth of log E[L(x^ε); |x| ≤ R] from R = 10 to 12"),
    ),
    Erratum(
        "E23", "Corollary 3.8 against Theorem 3.7",
        "R̃ is the additional effect of the drift error",
        "R̃ has to be 0 where σ = 0; Q̃ of (16) is not",
        "H⁰ in (16) is built from ξ, the diffusion error's response: at σ = 0 the corollary contradicts the theorem.",
        "wrong",
        "The circle and the latent model, σ = 0.",
        _of("ablation", "Q̃ of (16) at zero drift error", system="circle"),
    ),
    Erratum(
        "E24", "Section 3.2.1: regularization by S",
        "the Hessian term S implies a tendency towards wider minima",
        "for small ε the first-order term εP outweighs it, and P can have either sign: it changes sign with σ̄",
        "P = E ∇L·Φξ is not zero for zero-drift errors: the error is driven by the same Brownian motion as the model, "
        "so that ξ and ∇L(x⁰) are correlated. P vanishes where the model without error is deterministic, as in [27]. "
        "Q can have either sign too.",
        "imprecise",
        "dx = (σ+ε) x dB, L = x²: P = 2σT x₀² e^{σ²T}.",
    ),
    Erratum(
        "E80", "Section 3.2.1: wider minima",
        "\"a tendency towards wider minima in the loss landscape\", with [20]",
        "a small Hessian of the loss in the latent state",
        "S has the Hessian in x = (z, h, z̃, s̃). The minima of [20] are minima in the network's weights, and the "
        "paper gives no step from the one to the other.",
        "imprecise",
    ),
    Erratum(
        "E78", "Section 3.2.1: losses of practice are of class C²",
        "\"in DreamerV3, reconstruction loss J_O, reward loss J_R, consistency loss J_D, all satisfy this condition\"",
        "J_D does where no free bits are used",
        "DreamerV3's consistency loss is max(1, KL), which has a kink where the divergence is 1. The others are as "
        "smooth as their networks (E32).",
        "wrong",
        "max(1, m²/2), the divergence of N(m, 1) from N(0, 1): at m = √2 its slope jumps from 0 to √2.",
    ),
    Erratum(
        "E72", "Section 3.2.2: (18) and R̃",
        "\"a common factor, the fundamental matrix Φ, can be bounded\", and so R and R̃ can be modulated",
        "Φ_t Φ_s⁻¹ for all s ≤ t has to be bounded",
        "P, Q, P̃ and Q̃ contain Φ_t ∫ Φ_s⁻¹ …: an error made at time s is propagated by Φ_t Φ_s⁻¹, which need not be "
        "small where Φ is. A bound on ‖∂g‖ bounds this too; (18) alone does not.",
        "imprecise",
        "dx = c(2t − 1) x dt + ε dt on [0, 1]: Φ ≤ 1 for every c ≥ 0, and ∂x at t = 1 is ∫ exp(c(s − s²)) ds, which is "
        "above 50 for c = 20.",
    ),
    Erratum(
        "E25", "(12), (17), (31)",
        "(Φξ)^i ∇²L(x⁰_t, t) (Φξ)^j",
        "(Φξ)^i ∂²_ij L(x⁰_t) (Φξ)^j",
        "The indices of the Hessian are missing, and everywhere else the loss depends on x alone.",
        "misprint",
    ),
    Erratum(
        "E26", "(15), (16), (30), ξ in B.4",
        "∫₀ᵗ … σ_k(x_s, s) dt, ∫₀ᵗ … H⁰ dt, ∫₀ᵗ … dB_t^k",
        "σ without index, ds, dB_s^k",
        "The variable of integration is s, and the drift error has no index.",
        "misprint",
    ),
    Erratum(
        "E75", "(a) in the proof of Theorem 3.7; Corollary 4.2: indices",
        "Φ_t ∫Φ_s⁻¹ η_k dB^k with η₀ already in the integral before it; (ε^i ∂_i x)ᵀ ∂²Q (ε^i ∂_i x)",
        "the sum in (a) starts at k = 1, as in (b); (ε^i ∂_i x)ᵀ ∂²Q (ε^j ∂_j x)",
        "With the paper's convention, k = 0, …, m and B⁰ = t, (a) has the drift error η₀ twice. An index may stand "
        "twice in a product, not four times.",
        "misprint",
        "dx = ε dt: ∂x = t; with the convention (a) gives 2t.",
    ),
    # -- Systems and assumptions -------------------------------------------------------------------------------------
    Erratum(
        "E27", "(9)",
        "Σ ḡ_i + εσ̄_i dB^i",
        "Σ (ḡ_i + εσ̄_i) dB^i",
        "Parentheses are missing.",
        "misprint",
    ),
    Erratum(
        "E67", "(9), (18) and Theorem 3.7: what k counts",
        "ḡ_i dB^i and (∂ḡ_k/∂x) Φ dB^k with B = (B^enc, B^seq, B^pred, B^dec)",
        "k counts the coordinates of all four Brownian motions",
        "Each of the four is a vector, as z, h, z̃ and s̃ are. Then ḡ_k is a matrix, ∂ḡ_k/∂x has three indices, and "
        "(∂ḡ_k/∂x) Φ is no square matrix.",
        "imprecise",
        "With z, h, z̃, s̃ of 8, 32, 8 and 24 dimensions: ∂ḡ_enc/∂x is 72 × 8 × 72, Φ is 72 × 72.",
    ),
    Erratum(
        "E28", "(23)",
        "σ, σ̄ without ε",
        "εσ, εσ̄, as in (5)",
        "The system is expanded in ε, so that ε has to be in it.",
        "misprint",
    ),
    Erratum(
        "E29", "(6) and (24)",
        "π(h_t, z_t), and \"where π(h, z̃) is a policy function\"",
        "π(h, z) while the model is trained, π(h, z̃) in rollouts (19)",
        "Posterior and prior latent are different processes; the text has one, the equations the other.",
        "misprint",
    ),
    Erratum(
        "E79", "Section 3, on (4)",
        "the decoder \"reconstructs observed information from the posterior (Eq. 4)\"",
        "from z̃, the transition predictor's latent, as (4) and (8) have it",
        "z̃_t ~ p(z̃_t | h_t) has not seen s_t. It is the prior; the posterior is z_t.",
        "misprint",
    ),
    Erratum(
        "E77", "Section 3: Gaussian latents, against Section 5",
        "world models \"including Dreamer and PlaNet\", whose z, z̃ and s̃ are Gaussian \"when the outputs are known\"",
        "PlaNet and the first Dreamer; a DreamerV2 with Gaussian latents, if that was trained",
        "DreamerV2, which Section 5 trains, and DreamerV3 have categorical latents by default (rssm: discrete: 32 in "
        "DreamerV2's configs.yaml). No row of Table 5 changes that.",
        "imprecise",
    ),
    Erratum(
        "E65", "Section 3: the filtration",
        "\"F_t is their augmented filtration\", that of the four Brownian motions",
        "a larger filtration, in which they are Brownian motions and the initial values are known at t = 0",
        "The Brownian motions' own filtration is trivial at t = 0: what is measurable then is constant. The "
        "initial values are \"square-integrable random variables\", and so is ε in (19). And s_t, \"F_t-adapted\", "
        "could have no randomness but the model's own.",
        "imprecise",
    ),
    Erratum(
        "E66", "(5): the observation s_t",
        "\"the stochastic process s_t is F_t-adapted\"",
        "and does not depend on ε",
        "The expansion holds s_t fixed. In training the actions π(h, z) move the environment, so that an error in z "
        "changes s_t; the derivatives in ε then have a term in ∂_ε s that (34) lacks.",
        "imprecise",
        "dz = (s + ε) dt: with s fixed ∂z = t, with s = z it is e^t − 1.",
    ),
    Erratum(
        "E30", "(5)–(8) as analogues of (1)–(4)",
        "continuous-time analogues",
        "with drifts q_enc − z, f − h, p − z̃, q_dec − s̃, whose Euler step with Δt = 1, block by block in the order "
        "of (1)–(4), is the discrete model",
        "In (1) z_t is a fresh sample around the encoder's output; in (5) that output is added to z. With constant "
        "q_enc and no noise (1) has z_t = q_enc, (5) has z_t = z₀ + t q_enc.",
        "imprecise",
        "The trained model, five steps.",
        _of("one_step", *(f"distance of ({n}) from the model's own" for n in (5, 6, 7, 8))),
    ),
    Erratum(
        "E31", "Assumptions 3.1 and B.2",
        "q_enc, f, p, q_dec, q̄_enc, p̄, q̄_dec are bounded and C³",
        "f̄ too, and π and s_t where coefficients depend on them; linear growth suffices in place of boundedness",
        "(6) has f̄ and π in it. The proofs use linear growth ((ii), (vii)), and boundedness leaves out every linear "
        "drift, and every model with a leak (E30).",
        "imprecise",
        "The trained model, and geometric Brownian motion, whose expansion holds all the same.",
        _of("assumptions", "growth of the coefficients"),
    ),
    Erratum(
        "E32", "Assumption 3.1 against Section 3.1 and the experiments",
        "coefficients of class C³",
        "smooth activations (tanh, SiLU, GELU), or statements of lower order",
        "The encoders of Section 3.1 are ReLU networks, which are not C¹; the networks of DreamerV2, which Section 5 "
        "trains, have ELU, which is C¹ and not C² (act: elu in its configs.yaml).",
        "imprecise",
        "Networks with each activation.",
        _of("assumptions", "largest jump of a derivative"),
    ),
    Erratum(
        "E76", "Notation: norms",
        "\"the Frobenius norm of a matrix by |·|_F\", the Euclidean norm of a vector by ‖·‖",
        "‖·‖_F for matrices throughout",
        "(18), (20) and Appendix C write ‖·‖_F; Lemmas B.6 and B.7 write ‖∂g/∂x‖, for which no norm is named. All "
        "norms of matrices are equivalent, so that this changes constants only.",
        "misprint",
    ),
    Erratum(
        "E63", "Proposition B.1: \"given known h and s\"",
        "given h and s on [0, T], z_t is Gaussian with mean ∫q_enc ds and variance ∫q̄_enc² ds",
        "for inputs that are fixed functions of time, or independent of B^enc; the covariance is ∫ q̄_enc q̄_encᵀ ds",
        "In (6) z drives h, so that the path of h gives information about z: the law of z given h is that of a "
        "filtering problem, with a smaller variance. For a vector z the square of a matrix is not its covariance.",
        "imprecise",
        "dz = dB, dh = z dt: z is the derivative of h, so that Var(z | h) = 0 and not t. With a noise ½ dW in h it is "
        "½ tanh 2t.",
        _of("proposition_b1", "Var(z | h)"),
    ),
    # -- Proofs of Appendix B ----------------------------------------------------------------------------------------
    Erratum(
        "E33", "(34), (37), (40)",
        "∂g_k/∂x^i∂x^j, ∂g_k/∂x^l∂x^j, ∂g_k/∂x^i∂x^i; γ_k^ε without definition",
        "∂²g_k/∂x^i∂x^j in each; γ_k^ε = g_k + εη_k",
        "Second derivatives are meant; in (40) an index is doubled as well.",
        "misprint",
    ),
    Erratum(
        "E34", "Lemma B.6 (v)",
        "C + C ∫ E sup ‖x⁰‖ dτ",
        "C + C ∫ E sup ‖x⁰‖² dτ",
        "Under linear growth E‖g‖² is bounded by second moments: for x₀ = M with probability 1/M, else 0, and g(x) = x "
        "the left side of (v) is of order M, the right one bounded. Gronwall's lemma, used next, needs the square.",
        "misprint",
    ),
    Erratum(
        "E35", "Lemma B.6, part (3), and Lemma B.7 (vi), (vii)",
        "\"from similar steps\"; E[ab] ≤ C E[a] E[b]; Ψ_k Lipschitz with a constant",
        "the same with fourth moments of ∂x, which are finite under the assumptions",
        "Ψ_k is quadratic in ∂x: ‖Ψ_k(∂x, x̃) − Ψ_k(∂x, x)‖² is ‖x̃ − x‖² times ‖∂x‖⁴, and (vii) parts the expectation "
        "of a product of dependent factors. Second moments do not bound these, Cauchy–Schwarz with fourth ones does.",
        "imprecise",
    ),
    Erratum(
        "E73", "Lemma B.7: \"for a given ε\"",
        "for a given ε, E sup ‖R^ε‖² is bounded",
        "it is bounded uniformly in 0 < ε ≤ ε₀",
        "For one ε the statement only says that a number is finite, which follows from finite second moments for any "
        "polynomial in ε in place of the expansion, E2's printed one included. O(ε³) needs one bound for all small ε.",
        "imprecise",
    ),
    Erratum(
        "E74", "Proofs of (37) and (53): the theorem of [17] applied to (**) and to (52)",
        "differentiate (**), that is x and ∂_ε x as one system, by the theorem for (*)",
        "apply it once, to (*), with coefficients of class C³; or localize",
        "The coefficients of (**) contain ∂g_k(x) y for y = ∂_ε x. Its derivative in x is ∂²g_k(x) y, which is not "
        "bounded: for bounded ε the assumptions hold for (*), and not for (**). The same for (52) together with (51).",
        "imprecise",
        "g = sin x: between (0, y) and (π/2, y) the coefficient cos(x) y changes by y, however large y is.",
    ),
    Erratum(
        "E36", "Lemma B.7, σ_k",
        "σ_k = −ε ∫ η_k(x⁰) + 2ε ∂η_k ∂x dB^k",
        "σ_k = ε ∫ η_k(x^ε) − η_k(x⁰) − ε ∂η_k ∂x dB^k",
        "The error's own term εη_k(x^ε) of (32) is left out. As printed θ + φ + σ is not ε³R^ε, and σ_k is of order ε.",
        "wrong",
        "The circle and geometric Brownian motion.",
        _of("lemma_b7_steps", "rate of σ_k"),
    ),
    Erratum(
        "E37", "Lemma B.7, φ_k and (42)",
        "− ε²Ψ_k − ε² ∂g_k ∂²x; ε² ∂g_k ∂²x + ε² Ψ(∂x, x̃^{ε_s})",
        "− ½ε²Ψ_k − ½ε² ∂g_k ∂²x; ½ε² ∂g_k ∂²x + ½ε² ∂²g_k[v, v] with v = ∂x + ε_s ∂²x, for each coordinate its own "
        "ε_s",
        "Taylor's theorem halves the second derivative of ε ↦ g_k(x̃^ε), whose inner derivative is ∂x + ε∂²x; a mean "
        "value exists for each coordinate of g_k, not for all at once. As printed φ_k is of order ε².",
        "wrong",
        "The circle.",
        _of("lemma_b7_steps", "rate of φ_k"),
    ),
    Erratum(
        "E38", "Lemma B.7 (iii) to the end",
        "E sup ‖θ_k‖² ≤ C ∫ E sup ‖R^ε‖², and E sup ‖R^ε‖² ≤ C Σ E sup ‖θ_k‖² + …",
        "each of θ_k, φ_k, σ_k with ε⁶: R^ε is their sum over ε³",
        "R^ε is the sum of the terms over ε³, so the second inequality lacks a factor ε⁻⁶: bounds on φ_k and σ_k "
        "alone do not bound R^ε.",
        "wrong",
        "The three terms fall like ε³, R^ε does not fall.",
        _of("lemma_b7_steps", "rate of the terms that are to bound R^ε, less that of R^ε"),
    ),
    Erratum(
        "E39", "(33) and (54): \"with probability 1\"",
        "O(ε³) almost surely, from Lemmas B.6 and B.7",
        "almost surely by the smoothness of the flow in ε (Kunita), or in mean square by the lemmas",
        "A bound on the second moment for each ε is no bound that holds on one path for all ε.",
        "imprecise",
    ),
    Erratum(
        "E40", "Lemmas B.6 and B.7, small misprints",
        "g_1(x_{τ,τ}), dt in (vi), ‖g_k(x^ε, e) − …‖, t∧u, ε³R = x̃ − x, Σ_{k=0}^1, Σ_{k=0}^K, k = 0..n, no (viii), "
        "Cε for Cε² and no E in (ix), x̃_s without ε_s in (v)",
        "g_k(x_τ, τ), dτ, τ, τ, x − x̃, sums over k = 0..m",
        "The general system (32) has m noises.",
        "misprint",
    ),
    # -- Appendix C --------------------------------------------------------------------------------------------------
    Erratum(
        "E41", "(57)–(59)",
        "E sup ‖∂²_ij x‖² ≤ C exp(C E sup ‖∂²g‖² …)",
        "E sup ‖∂²_ij x‖² ≤ C sup‖∂²g‖² (E sup ‖∂_i x‖⁴ E sup ‖∂_j x‖⁴)^½ exp(C sup‖∂g‖²)",
        "With (53) corrected the Hessian is the inhomogeneous term: it enters as a factor, and the Jacobian as the "
        "exponent. (57), which has no ∂g, is false for a C that depends on T alone.",
        "wrong",
        "dx = (ax + Kx²/2) dt, x₀ = 0, K = aW e^{−2aT}: as a → ∞ the sides of (57) tend to W² and to C.",
    ),
    Erratum(
        "E61", "Corollary 4.2: the remainder",
        "Q(x^ε_t, a) to second order in ε, almost surely up to O(δ³) with δ = E‖ε‖",
        "up to O(‖ε‖³) on each path, and up to O(E‖ε‖³) in the mean",
        "δ is a mean and says nothing of the path on which ε is large. For ε of size s with probability s, and zero "
        "otherwise, δ = s² and δ³ = s⁶. On the paths with an error the remainder is of order s³, and its mean of order "
        "s⁴.",
        "wrong",
        "The latent rollout: remainder/δ³ grows like s⁻³ on those paths, and its mean like s⁻².",
        _of("corollary_4_2", "rate at which remainder/δ³ grows as ‖ε‖ → 0"),
    ),
    Erratum(
        "E62", "Theorem C.1: F_hh, F_hz, F_zh, F_zz",
        "∂²f/∂h² + ∂²f/∂h∂a ∂_h ρ + ∂f/∂a ∂²_hh ρ, and its like",
        "∂²f/∂h² + 2 ∂²f/∂h∂a ∂_h ρ + ∂²f/∂a² [∂_h ρ, ∂_h ρ] + ∂f/∂a ∂²_hh ρ, symmetrized, and its like",
        "The terms are second derivatives of h ↦ f(h, z̃, ρ(h, z̃)). The chain rule has both mixed terms, and the "
        "second derivative of f in the action.",
        "wrong",
        "The reference rollout and the trained model, against the composed map differentiated as one function.",
        _of("theorem_4_1", *(f"{name}: squared error of the second derivative" for name in ("F_hh", "F_hz", "F_zh",
                                                                                             "F_zz"))),
    ),
    Erratum(
        "E68", "Proof of Proposition C.2: independence",
        "from (54), E sup ‖ε^i ∂_i x‖² is bounded by a power of δ times the bound (56) on E sup ‖∂_i x‖²",
        "so for an ε that is independent of x₀ and of the coefficients along the path; else with an essential supremum",
        "The expectation of a product is the product of expectations only for independent factors, and nothing is "
        "assumed of ε but that it is square-integrable.",
        "imprecise",
        "dx = a x dt with a frozen slope a = M with probability p, else 0, and ε = 1 where a = M, else 0: E sup ‖ε "
        "∂x‖² is p e^{2M}, the product of expectations p (p e^{2M} + 1 − p). For M = 6, p = 1/100 the first is 99.9 "
        "times the second.",
    ),
    Erratum(
        "E42", "Proofs of Propositions C.2 and B.5: misprints",
        "\"plugging with 56 and 57\"; Σ_{k=0,1}; ε ∈ Rⁿ × Ω; C_g^{2,α}; O(ε³) for a vector ε",
        "(56) and (59); Σ_{k=0}^m; ε: Ω → Rⁿ; C³; O(‖ε‖³)",
        "(57) is the step before the bound that is meant; the class is not defined.",
        "misprint",
    ),
    Erratum(
        "E43", "Theorem 4.1 against C.1",
        "F_h … are expected sup Frobenius norms of Jacobians of f w.r.t. h, z",
        "C times their squares, with the policy's part: ∂f/∂h + ∂f/∂a ∂ρ/∂h",
        "The two places define the same letters differently; C is free in both.",
        "imprecise",
    ),
    Erratum(
        "E44", "Proof of Theorem C.1",
        "at a local maximizer ∂²Q/∂a² is negative definite, \"by definition\"",
        "it is negative semidefinite; that it is definite has to be assumed",
        "Q(h, a) = ha − a⁴/4 has the one maximizer ρ(h) = h^{1/3}, which is not differentiable at h = 0. A maximizer "
        "on the boundary of the set of actions need not have ∂Q/∂a = 0 either.",
        "imprecise",
        "Q(h, a) = ha − a⁴/4.",
        _of("policy_maximizer", "rate at which |ρ(h) − ρ(0)|/|h| grows as h → 0"),
    ),
    Erratum(
        "E81", "Section 4: a unique solution of (19)",
        "\"Under Assumption 3.1, there exists a unique solution\"",
        "under Assumption 3.1 and a Lipschitz π",
        "Assumption 3.1 has no condition on π, and a maximizer need not be Lipschitz (E44).",
        "wrong",
        "Q = ha − a⁴/4 has π(h) = h^{1/3}. With f = a where |a| ≤ 1, dh = h^{1/3} dt from h₀ = 0 has the solutions 0 "
        "and (2t/3)^{3/2}.",
    ),
    Erratum(
        "E82", "Corollary 4.2 and the proof of Theorem C.1: smoothness of Q",
        "expansions of Q to second order, and a C² map ρ, for any value function Q",
        "for Q of class C³ in the state and the action, with bounded derivatives",
        "A C² map ρ needs ∂Q/∂a of class C². Nothing is assumed of Q, and values are maxima over actions: a maximum of "
        "smooth functions can have kinks.",
        "imprecise",
        "max(x, −x) at x = 0: an error ε changes it by |ε|, which no quadratic in ε matches.",
    ),
    # -- Section 3.1 and Appendix A ----------------------------------------------------------------------------------
    Erratum(
        "E45", "Section 3.1: W1² ≤ C·KL",
        "W1² is at most KL up to a constant",
        "C = diam²/2 on a bounded set (Pinsker); C = 2‖Σ‖ for a Gaussian reference as KL's second argument (Talagrand)",
        "No single constant works for all measures: [11] bounds W1 on spaces of finite diameter. Dreamer's Gaussians "
        "have none, and their variances are not bounded.",
        "wrong",
        "Two-point measures on {0, M} as M grows.",
        _of("w1_kl", "growth of W1²/KL with M"),
    ),
    Erratum(
        "E46", "Section 3.1: ε can be made small",
        "W1(g_enc# Q, P) is small, so ε in (5) can be assumed small",
        "∫‖g_enc − g‖ dQ is small, which is what the proof of A.6 bounds",
        "εσ and εσ̄ are errors in each state, which a distance between measures does not bound: for P symmetric and "
        "g_enc = −g the distance is zero and the error is not.",
        "wrong",
        "P uniform on [−1, 1], g_enc = −g.",
        _of("w1_kl", "∫‖g_enc − g‖ dQ − 10⁶ W1"),
    ),
    Erratum(
        "E47", "(22)",
        "η̄ = (1/|D|) Σ (F|⁻¹)*ω, ∫η̄ = 1, and F*η̄ = ω",
        "η̄ = Σ (F|⁻¹)*ω; g_# P = Q follows from F_# P = η̄, not from g*η = ω",
        "The average has mass 1/|D|; and F*η̄ is the average of ω over the fibre, which is ω only where ω is the same "
        "on all sheets. The degree of a local inverse says nothing about ∫η̄. The proposition survives with the sum.",
        "wrong",
        "The double cover of the circle, P of density (1 + ½cos θ)/2π.",
        (*_of("covering_map", "∫η̄ − 1", "largest |F*η̄ − ω|"), *_of("proposition_a7", "largest |g*η − ω|", "∫η̄ − 1")),
    ),
    Erratum(
        "E48", "Assumption 3.5 and the proof of A.7: F is a covering",
        "det dF ≠ 0 everywhere, so F is a covering map",
        "F must also send boundary to boundary",
        "The inclusion of an annulus in a disc has det dF = 1 and is not onto. Where F is a covering of a ball, and M "
        "is connected, it is a diffeomorphism, for a ball is simply connected: Theorem 3.6 then is about manifolds "
        "that are balls, and |D| = 1 in (22).",
        "vacuous",
        "The inclusion of an annulus, and z ↦ exp(4(z − 1)) on the disk, which overlaps itself.",
        _of("proposition_a7", "most preimages of F less fewest"),
    ),
    Erratum(
        "E86", "Proposition A.7: a local diffeomorphism",
        "\"Let F: N → M be an orientation-preserving local diffeomorphism\", not assumed to exist",
        "with F as a hypothesis",
        "The proposition has only that N and M are compact, oriented and of the same dimension. For a C¹ map g with "
        "g_# P = Q, p ≤ q(g) |det dg|: where p is positive and q bounded, g is itself a local diffeomorphism, so that "
        "without one there is no such g. A circle has none to an interval: where g is largest its derivative is 0.",
        "wrong",
        "N the circle, M = [−1, 1], both densities positive: next to g's maximum g_# P has no bounded density.",
        _of("proposition_a7", "rate at which g_# P of the h next to the maximum of g, over h, grows as h → 0"),
    ),
    Erratum(
        "E84", "Proof of Theorem A.6: the decoder",
        "\"Similarly, for decoder, from Proposition A.7\" there is a map Z → M",
        "Assumption A.5 has to give a map the other way too",
        "The construction of A.7 starts from a local diffeomorphism onto the target. For the decoder that is one from "
        "Z to M; Assumption A.5 has one from M to Z. Where F is a diffeomorphism (E48) its inverse serves.",
        "imprecise",
    ),
    Erratum(
        "E49", "Proposition A.7: positive densities",
        "\"for any point x we have p(x) > 0\", not assumed",
        "q positive and M connected, as hypotheses",
        "P uniform and q = 3x²/2 on [−1, 1]: a C¹ map g has a pushforward of density at least ½/sup|g'| on its image, "
        "which is all of [−1, 1], so q cannot vanish. And for M in two parts and N connected no continuous g is onto. "
        "That p be positive is not needed in one dimension, where g' = p/q(g); there g⁻¹ is rougher than g.",
        "wrong",
        "q = 3x²/2 on [−1, 1]: the quantile map u^{1/3} is not C¹. M = [−1, −½] ∪ [½, 1] and N = [−1, 1].",
        _of("proposition_a7", "rate at which |g(x) − g(0)|/|x| grows as x → 0",
            "least W1(g_# P, Q) over continuous g"),
    ),
    Erratum(
        "E50", "Assumption 3.3 and Definition A.1: smoothness",
        "M of class C^{k,α} with C^{k+3,α} boundary, α ∈ (0, 1]; maps of class C^{k+1,α} on it; F ∈ C^∞ in A.7's proof",
        "M of class C^{k+3,α}, α ∈ (0, 1)",
        "On a manifold with C^{k,α} charts \"of class C^{k+1,α}\" has no meaning, its boundary is no smoother than it "
        "is, and its volume form is of class C^{k−1,α}. Assumption 3.5 does not say how smooth F is. The theorem of "
        "[6] is for 0 < α < 1.",
        "imprecise",
    ),
    Erratum(
        "E83", "Definitions A.1 and A.2",
        "charts onto open subsets of Rⁿ; α for the exponent and for a chart; a form on X called dvol_M",
        "charts onto open subsets of a half-space; two letters; dvol_X",
        "A manifold in the sense of A.1 has no boundary, so that the closed ball Z is none, nor is the M with "
        "boundary of Assumption A.3.",
        "imprecise",
    ),
    Erratum(
        "E51", "Theorem 3.6: constants",
        "for M and N there are g_enc, g_dec in F_CNN(L, S, W); d_θ = O(d_M θ⁻² log(d/θ)); factor d_M for both",
        "L, S, W as functions of M and N; d is d_S; factor d_S for the decoder",
        "L, S, W and d are not defined, so the network's size is free; f_CNN is real-valued, and the decoder has d_S "
        "coordinates. Nor do the networks' values lie in Z or M, where the maps are said to go. With 1 for "
        "the constant of its O, d_θ is at least d_M log d_S: the rate falls as the ambient dimension grows, "
        "where that of an arc's interpolated encoder, 2/d_M, does not. And a reduction to d_θ dimensions is none where "
        "d_θ ≥ d_S: for θ = ½ and d_M = 2 up to d_S = 33.",
        "vacuous",
        "The decoder of an arc, interpolated: its values are on chords.",
        _of("theorem_3_6", "farthest that a value of g_dec is from M"),
    ),
    Erratum(
        "E85", "Section 3.1 and Appendix A: the last layer of f_CNN",
        "every A_i, A_{L+1} included, is a convolution with ReLU or a downsampling; D_i: R^{d_i × d_{i−1}}",
        "an affine last layer without ReLU; D_i: R^{d_{i−1}} → R^{d_i}",
        "As printed a network with a convolution has no negative value, and its image of Q cannot come near a P on the "
        "ball. For details the paper refers to [29], so that this is likely what is meant.",
        "imprecise",
        "P uniform on [−1, 1]: a measure on [0, ∞) is at least 1/4 away from it in W1, whatever the network. The "
        "check's P has less mass below 0.",
        _of("theorem_3_6", "least W1(g_enc# Q, P) of networks that end in a ReLU"),
    ),
    # -- Experiments -------------------------------------------------------------------------------------------------
    Erratum(
        "E52", "Table 1 and Section 1",
        "batch sizes 16 and 32 do better than 8 and 64",
        "at all perturbations but α = 20, where 64 does best",
        "The table's own column.",
        "data",
        "Table 1, α = 20.",
        _of("tables", "Table 1, lead of batch sizes 8 and 64"),
    ),
    Erratum(
        "E53", "Section 3.2.1 on Table 1",
        "\"model's robustness gain is not significant when the error induced by small batch sizes is too small\"",
        "the sampling error of a gradient is largest for the smallest batch",
        "The variance of a mean over B samples is 1/B of one sample's. Section 1 speaks of \"gradient estimation "
        "errors\" that latent errors induce, and does not say how they depend on the batch; if another error is meant, "
        "which is small for small batches, the paper does not say which.",
        "imprecise",
    ),
    Erratum(
        "E54", "Table 1",
        "N(0.15, 0.5); task and regularization not named",
        "presumably N(0.5, 0.15) as in Tables 6 and 9",
        "Mean and variance are exchanged against every other table of masks. With the task unnamed its row for batch "
        "size 16, the default of Table 5, cannot be held against Tables 6, 8, 9 and 11.",
        "data",
    ),
    Erratum(
        "E55", "Sections 5 and D.2: Quadruped's masks",
        "μ2 = 0.05, σ2² = 0.2",
        "Table 9 says N(0.5, 0.15)",
        "The heading and the text are of the same experiment.",
        "data",
        "",
        _of("tables", *(f"Quadruped, mask noise, {name}: text less Table 9" for name in ("μ2", "σ2²"))),
    ),
    Erratum(
        "E56", "Sections 5 and D.2: strengths of the noise",
        "variance σ² from 0.05 to 0.55",
        "for Quadruped from 0.10",
        "Table 10 has no row for 0.05.",
        "data",
        "",
        _of("tables", "Quadruped, least variance in Table 10 less the 0.05 of the text"),
    ),
    Erratum(
        "E57", "Section 5: better \"in all cases\"",
        "rewards are higher with regularization in all cases",
        "in all but the weakest mask: at 25 % Walker's baseline does better",
        "Table 6's own row. With five trials each it may be chance; the sentence is about the averages. Table 7's "
        "first row, σ² = 0.05, has the baseline ahead too, 929.778 against 894.594, but its column of baselines is a "
        "copy of Table 6's (E17) and cannot be counted.",
        "data",
        "Table 6, 25 %.",
        _of("tables", "Tables 6, 8–11, largest lead of the baseline"),
    ),
    Erratum(
        "E58", "Section 5 on Table 4",
        "\"the model with regularization converges significantly faster (∼100K steps)\"",
        "with λ = 0.05, as D.6 says; Section 5 does not say which λ",
        "With λ = 0.1 the model is behind the baseline at 100k (537.5 against 582.3), well ahead at 200k (762.6 "
        "against 571.2), and comes to the baseline's last reward about 20k steps sooner. Table 4 has single numbers "
        "without a spread, so that the difference at 100k may be chance.",
        "data",
        "Table 4, interpolated.",
        _of("tables", "Table 4, With Jacobian (λ = 0.1), largest lead of the baseline"),
    ),
    Erratum(
        "E59", "Sections 1, 5 and A, references",
        "\"it can be seen from Table 3 and Figure 1\"; \"Appendix [63]\"; \"DreamerV2 and DreamerV3 … [14, 13, 15]\"",
        "Table 2 and Figure 1; there are 33 references; DreamerV3 is [16]",
        "Table 3 is about errors added to the encoder; [14] is PlaNet, [13] Dreamer, [15] DreamerV2.",
        "misprint",
    ),
    Erratum(
        "E60", "Appendix B, before Proposition B.1",
        "\"their distributions are not non-Gaussian in general\"",
        "they are non-Gaussian in general, as Section 3 says",
        "A double negation.",
        "misprint",
    ),
)  # fmt: skip
"""In the order of the subjects; a number is kept when others come, and is not given twice."""


if __name__ == "__main__":
    print(markdown(load()), end="")
