"""What in the paper does not hold as printed: one entry for each finding, and where the evidence for it is.

No number is typed in here: a record of a report says how far off a formula is, and on what. An entry without records
rests on an argument, which it gives. ``python -m theory_checks --errata`` shows the ledger, and
``python -m sdewm.paper.errata > docs/errata.md`` writes it as Markdown from the recorded report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sdewm.paper.records import REPORT, Evidence, Record, load, summary

Kind = Literal["wrong", "misprint", "imprecise", "vacuous", "data"]

KINDS: dict[Kind, str] = {
    "wrong": "what is printed is false",
    "misprint": "what is meant is clear from the context, and true",
    "imprecise": "a condition, a definition or a step of the proof is missing",
    "vacuous": "true only because a constant is free, or because its hypothesis leaves nothing",
    "data": "printed numbers that contradict each other or the text",
}


@dataclass(frozen=True)
class Erratum:
    """One finding.

    ``printed`` and ``corrected`` are what the paper has and what holds, ``why`` the argument, ``witness`` the system
    or the numbers that show it; ``evidence`` is where a check refutes the printed statement, ``None`` where the
    argument alone does.
    """

    id: str
    where: str
    printed: str
    corrected: str
    why: str
    kind: Kind
    witness: str = ""
    evidence: Evidence | None = None


def measured(erratum: Erratum, records: Sequence[Record]) -> str:
    """What the report says of the printed statement."""
    if erratum.evidence is None:
        return "by argument"
    return summary(erratum.evidence.among(records, "printed"))


def markdown(records: Sequence[Record]) -> str:
    """The ledger as a Markdown document."""
    counts = Counter(e.kind for e in ERRATA)
    lines = [
        "# Errata",
        "",
        f"{len(ERRATA)} findings, from reading every numbered statement and holding what can be held against numbers.",
        f"Written by `python -m sdewm.paper.errata` from `{REPORT}`; a row of that report is behind every number here.",
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
        check = f"check {e.evidence}: " if e.evidence else ""
        lines.append(f"- **Evidence:** {check}{measured(e, records)}")
    return "\n".join(lines) + "\n"


def _ablation(erratum: str, power: str = "ε²", system: str = "circle") -> Evidence:
    return Evidence("ablation", system, f"coefficient of {power}, all but {erratum}")


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
        _ablation("E1"),
    ),
    Erratum(
        "E2", "Lemma B.7",
        "(x^ε − x⁰ − ε∂x − ε²∂²x)/ε³ is bounded in mean square",
        "(x^ε − x⁰ − ε∂x − ½ε²∂²x)/ε³ is",
        "The same half. As printed the quotient is −½∂²x/ε + O(1).",
        "wrong",
        "Any system with ∂²x ≠ 0: the rate of the remainder is 2, not 3.",
        Evidence("lemma_b7"),
    ),
    Erratum(
        "E3", "Theorem 3.7 and B.4, the equation of Φ",
        "dΦ = ∂ḡ_k Φ dB^k, over the diffusions",
        "dΦ = ∂g_k Φ dB^k with the drift as k = 0, as (43) has it",
        "Variation of constants for (39) needs the solution of its whole homogeneous equation.",
        "wrong",
        "Any system whose drift depends on the state.",
        _ablation("E3", "ε"),
    ),
    Erratum(
        "E4", "Theorem 3.7, ξ^k",
        "ξ = ∫ Φ⁻¹ σ̄_k dB^k",
        "ξ = ∫ Φ⁻¹ σ̄_k dB^k − ∫ Φ⁻¹ Σ ∂g_k σ̄_k ds, as (a) has it",
        "Φ⁻¹ and the integral share their noise. On (5)–(8) the correction vanishes, for q̄_enc does not depend on z.",
        "wrong",
        "The circle; on the latent models the correction is zero to rounding.",
        _ablation("E4", "ε"),
    ),
    Erratum(
        "E5", "Theorem 3.7, H^k",
        "∂²g_k[ξ, ξ]",
        "∂²g_k[Φξ, Φξ]",
        "Ψ_k is taken at ∂x = Φξ, as (40) and (b) have it.",
        "wrong",
        "The circle.",
        _ablation("E5"),
    ),
    Erratum(
        "E6", "(13) and (30)",
        "Q sums over k ≥ 1",
        "the drift's Hessian, k = 0, belongs in Q whether or not the error has a drift",
        "(b) has Ψ_0 in it. The paper has the term in (16) only, which belongs to the drift error.",
        "wrong",
        "The latent model (5)–(8).",
        _ablation("E6", system="latent"),
    ),
    Erratum(
        "E7", "(13) and (30)",
        "no term in ∂σ̄",
        "+ 2 ∂σ̄_k y in Q's integrand",
        "(40) and (b) have it. It matters where σ̄ depends on the state, as (5) allows.",
        "wrong",
        "The linear latent model (5)–(8), σ̄ depending on h.",
        _ablation("E7", system="latent-linear"),
    ),
    Erratum(
        "E8", "(13) and (30)",
        "no Itô correction in Q",
        "− Σ_{k≥1} ∂g_k F_k ds, as (b) has it",
        "As E4. On (5)–(8) it vanishes where f̄ = 0.",
        "wrong",
        "The latent model with a diffusion f̄ in (6).",
        _ablation("E8", system="latent-f-bar"),
    ),
    Erratum(
        "E9", "(16)",
        "H⁰ of ξ alone",
        "the cross and square terms in ξ̃, for every k, and ∂σ, ∂σ̄",
        "The second derivative is quadratic in ∂x = Φ(ξ + ξ̃); what is quadratic in ξ alone belongs to Q.",
        "wrong",
        "The latent model (5)–(8).",
        _ablation("E9", system="latent"),
    ),
    Erratum(
        "E10", "(17)",
        "S̃ = E Σ (Φξ̃)ᵀ∇²L(Φξ^k)",
        "+ ½ E (Φξ̃)ᵀ∇²L(Φξ̃)",
        "½ (Φ(ξ + ξ̃))ᵀ∇²L(Φ(ξ + ξ̃)) has a square in ξ̃ too.",
        "wrong",
        "The latent model (5)–(8).",
        _ablation("E10", system="latent"),
    ),
    Erratum(
        "E11", "(45)",
        "Φ = exp(∫A dB − ½∫AAᵀ ds)",
        "exp(∫A₀ ds + ∫A dB − ½∫A² ds), where A_k(s) and A_l(t) commute for all s, t, k and l",
        "Itô's formula for the exponential gives A², and the drift's Jacobian belongs in the exponent.",
        "wrong",
        "One noise, constant A = [[0,1],[0,0]]: Φ = I + A B_t.",
        Evidence("fundamental_matrix"),
    ),
    Erratum(
        "E12", "(53)",
        "d∂²_ij x = ∂²g_k[∂_i x] ∂²_ij x dB^k, started at e_j",
        "d∂²_ij x = (∂g_k ∂²_ij x + ∂²g_k[∂_i x, ∂_j x]) dB^k, started at 0",
        "Differentiate (52) once more. The start e_i does not depend on the initial value.",
        "wrong",
        "dx = sin x dt.",
        Evidence("initial_value"),
    ),
    Erratum(
        "E13", "(49)",
        "Cδ(C E sup ‖∂g‖²)",
        "exp is missing, as in (56)",
        "With ∂g = 0 the printed term vanishes, and x^ε − x⁰ = ε does not.",
        "misprint",
    ),
    Erratum(
        "E14", "Theorem 4.1, C.1, Proposition C.2",
        "d_ε ≤ δC(…) + δ²C(…) + O(δ³) with δ = E‖ε‖",
        "d_ε ≤ C E‖ε‖²: d_ε is a mean square",
        "For ε = M with probability M⁻³, else 0, δ = M⁻² and d_ε is of order M⁻¹, so d_ε/δ is unbounded as δ → 0. For "
        "ε = cζ with ζ fixed d_ε is of order δ², and the first-order term is not needed.",
        "wrong",
        "Two-point errors.",
        Evidence("theorem_4_1"),
    ),
    Erratum(
        "E15", "(18), (49), (50), (56), (58), (59)",
        "exp(C E sup ‖∂g‖²)",
        "E exp(…), or exp(C ess sup …), or a C that may depend on the essential supremum",
        "Gronwall's lemma holds path by path; the expectation cannot go into the exponent (Jensen has the other sign).",
        "wrong",
        "A frozen random slope: dx = a x dt, da = 0, x₀ = 0, P(a = M) = M⁻².",
        Evidence("fundamental_matrix_bound"),
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
        "they are Table 6's, digit by digit",
        "The two tables are of different perturbations, and their standard deviations differ.",
        "data",
        "Table 6 and Table 7, mean (baseline).",
        Evidence("tables", "repeated"),
    ),
    Erratum(
        "E18", "Table 2, full noise, Walker",
        "means at σ² = 0.35 and 0.5",
        "Table 7 has others at 0.35, and for the baseline at 0.5 (but see E17)",
        "Table 2 summarizes the experiment that Table 7 reports.",
        "data",
        "",
        Evidence("tables", "summary", "Table 2, Walker, full, less Table 7"),
    ),
    Erratum(
        "E19", "Theorem 4.1 as an explanation of Jacobian regularization",
        "a smaller ‖∂f‖ makes divergence smaller",
        "the logarithmic norm of ∂f does",
        "A recurrent cell is an Euler step of drift f = GRU − h: shrinking ∂GRU lets errors die out while ‖∂f‖ grows.",
        "imprecise",
        "Trained cells.",
        Evidence("leak"),
    ),
    Erratum(
        "E20", "Table 2, full noise, Quadruped",
        "means at σ² = 0.35 and 0.5",
        "the column 0.35 is Table 10's row 0.30; With Jacobian at 0.5 is no row of Table 10",
        "As E18.",
        "data",
        "",
        Evidence("tables", "summary", "Table 2, Quad, full, less Table 10"),
    ),
    Erratum(
        "E21", "Theorem 3.7, Corollary 3.8, Theorem B.4, Proposition B.5: L ∈ C²",
        "a loss of class C² has a remainder O(ε³)",
        "C² gives o(ε²); O(ε³) needs a Lipschitz Hessian (C³ with bounded third derivative is enough)",
        "Taylor's theorem to second order leaves ε² times the modulus of continuity of ∇²L.",
        "wrong",
        "L = |x − x⁰_T|^{5/2} where the unperturbed system is deterministic: the remainder is of order ε^{5/2}.",
        Evidence("smoothness", "power-2.5"),
    ),
    Erratum(
        "E22", "Theorem 3.7 and Corollary 3.8: no growth condition on L",
        "any L of class C²",
        "L and its derivatives grow polynomially",
        "Without that E L(x^ε) need not exist: with bounded coefficients, dx = (1 + ε) dB, and the smooth "
        "L = exp(x²/2T)/(1 + x²)², E L(x⁰) is finite and E L(x^ε) is infinite for every ε > 0.",
        "wrong",
        "The expectation over |x| ≤ R grows with R without bound.",
        Evidence("smoothness", "growth"),
    ),
    Erratum(
        "E23", "Corollary 3.8 against Theorem 3.7",
        "R̃ is the additional effect of the drift error",
        "R̃ has to vanish with σ; Q̃ of (16) does not",
        "H⁰ in (16) is built from ξ, the diffusion error's response: at σ = 0 the corollary contradicts the theorem.",
        "wrong",
        "The circle and the latent model, σ = 0.",
        Evidence("ablation", "circle", "Q̃ of (16) at zero drift error"),
    ),
    Erratum(
        "E24", "Section 3.2.1: regularization by S",
        "the Hessian term S implies a tendency towards wider minima",
        "for small ε the first-order term εP outweighs it, and P has no sign: it changes with that of σ̄",
        "P = E ∇L·Φξ is not zero for zero-drift errors, since the error rides on the same Brownian motion as the model "
        "itself, with which ∇L(x⁰) correlates. It vanishes where the model without error is deterministic, as in [27]. "
        "Q has no sign either.",
        "imprecise",
        "dx = (σ+ε) x dB, L = x²: P = 2σT x₀² e^{σ²T}.",
    ),
    Erratum(
        "E25", "(12), (17), (31)",
        "(Φξ)^i ∇²L(x⁰_t, t) (Φξ)^j",
        "(Φξ)^i ∂²_ij L(x⁰_t) (Φξ)^j",
        "The Hessian has lost its indices, and the loss has an argument t that it has nowhere else.",
        "misprint",
    ),
    Erratum(
        "E26", "(15), (16), (30), ξ in B.4",
        "∫₀ᵗ … σ_k(x_s, s) dt, ∫₀ᵗ … H⁰ dt, ∫₀ᵗ … dB_t^k",
        "σ without index, ds, dB_s^k",
        "The variable of integration is s, and the drift error has no index.",
        "misprint",
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
        "E28", "(23)",
        "σ, σ̄ without ε",
        "εσ, εσ̄, as in (5)",
        "The system that is expanded in ε has none in it.",
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
        "E30", "(5)–(8) as analogues of (1)–(4)",
        "continuous-time analogues",
        "with drifts q_enc − z, f − h, p − z̃, q_dec − s̃, whose Euler step with Δt = 1, block by block in the order of "
        "(1)–(4), is the discrete model",
        "In (1) z_t is drawn anew, around what the encoder says; in (5) what it says is added to z. With constant "
        "q_enc and no noise (1) has z_t = q_enc, (5) has z_t = z₀ + t q_enc.",
        "imprecise",
        "The trained model, five steps.",
        Evidence("one_step"),
    ),
    Erratum(
        "E31", "Assumptions 3.1 and B.2",
        "q_enc, f, p, q_dec, q̄_enc, p̄, q̄_dec are bounded and C³",
        "f̄ too, and π and s_t as far as they enter; linear growth will do for boundedness",
        "(6) has f̄ and π in it. The proofs use linear growth ((ii), (vii)), and boundedness leaves out every linear "
        "drift, and every model with a leak (E30).",
        "imprecise",
        "The trained model, and geometric Brownian motion, whose expansion holds all the same.",
        Evidence("assumptions", quantity="growth of the coefficients"),
    ),
    Erratum(
        "E32", "Assumption 3.1 against Section 3.1 and the experiments",
        "coefficients of class C³",
        "smooth activations (tanh, SiLU, GELU), or statements of lower order",
        "The encoders of Section 3.1 are ReLU networks, which are not C¹; the networks of DreamerV2, which Section 5 "
        "trains, have ELU, which is C¹ and not C² (act: elu in its configs.yaml).",
        "imprecise",
        "Networks with each activation.",
        Evidence("assumptions", quantity="largest jump of a derivative"),
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
        "E36", "Lemma B.7, σ_k",
        "σ_k = −ε ∫ η_k(x⁰) + 2ε ∂η_k ∂x dB^k",
        "σ_k = ε ∫ η_k(x^ε) − η_k(x⁰) − ε ∂η_k ∂x dB^k",
        "The error's own term εη_k(x^ε) of (32) is left out. As printed θ + φ + σ is not ε³R^ε, and σ_k is of order ε.",
        "wrong",
        "The circle and geometric Brownian motion.",
        Evidence("lemma_b7_steps", quantity="rate of σ_k"),
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
        Evidence("lemma_b7_steps", quantity="rate of φ_k"),
    ),
    Erratum(
        "E38", "Lemma B.7 (iii) to the end",
        "E sup ‖θ_k‖² ≤ C ∫ E sup ‖R^ε‖², and E sup ‖R^ε‖² ≤ C Σ E sup ‖θ_k‖² + …",
        "each of θ_k, φ_k, σ_k with ε⁶: R^ε is their sum over ε³",
        "The second inequality divides by nothing where it has to divide by ε⁶: bounded φ_k and σ_k do not bound R^ε.",
        "wrong",
        "The three terms fall like ε³, R^ε does not fall.",
        Evidence("lemma_b7_steps", quantity="rate of the terms that are to bound R^ε, less that of R^ε"),
    ),
    Erratum(
        "E39", "(33) and (54): \"with probability 1\"",
        "O(ε³) almost surely, from Lemmas B.6 and B.7",
        "almost surely by the smoothness of the flow in ε (Kunita), or in mean square by the lemmas",
        "A second moment that is bounded for each ε bounds no path for all ε at once.",
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
        "Q(h, a) = ha − a⁴ has the maximizer ρ(h) = (h/4)^{1/3}, which is unique and not differentiable at h = 0. A "
        "maximizer on the boundary of the actions has no ∂Q/∂a = 0 either.",
        "imprecise",
        "Q(h, a) = ha − a⁴.",
    ),
    # -- Section 3.1 and Appendix A ----------------------------------------------------------------------------------
    Erratum(
        "E45", "Section 3.1: W1² ≤ C·KL",
        "W1² is at most KL up to a constant",
        "C = diam²/2 on a bounded set (Pinsker); C = 2‖Σ‖ for a Gaussian reference as KL's second argument (Talagrand)",
        "No constant serves all measures: [11] bounds W1 on spaces of finite diameter. Dreamer's Gaussians have none, "
        "and their variances are not bounded.",
        "wrong",
        "Two-point measures on {0, M} as M grows.",
        Evidence("w1_kl", "two-point"),
    ),
    Erratum(
        "E46", "Section 3.1: ε can be made small",
        "W1(g_enc# Q, P) is small, so ε in (5) can be assumed small",
        "∫‖g_enc − g‖ dQ is small, which is what the proof of A.6 bounds",
        "εσ and εσ̄ are errors state by state. Measures do not see them: for P symmetric and g_enc = −g the distance is "
        "zero and the error is not.",
        "wrong",
        "P uniform on [−1, 1], g_enc = −g.",
        Evidence("w1_kl", "reflection"),
    ),
    Erratum(
        "E47", "(22)",
        "η̄ = (1/|D|) Σ (F|⁻¹)*ω, ∫η̄ = 1, and F*η̄ = ω",
        "η̄ = Σ (F|⁻¹)*ω; g_# P = Q follows from F_# P = η̄, not from g*η = ω",
        "The average has mass 1/|D|; and F*η̄ is the average of ω over the fibre, which is ω only where ω is the same "
        "on all sheets. The degree of a local inverse says nothing about ∫η̄. The proposition survives with the sum.",
        "wrong",
        "The double cover of the circle, P of density (1 + ½cos θ)/2π.",
        Evidence("covering_map"),
    ),
    Erratum(
        "E48", "Assumption 3.5 and the proof of A.7: F is a covering",
        "det dF ≠ 0 everywhere, so F is a covering map",
        "F must also send boundary to boundary",
        "The inclusion of an annulus in a disc has det dF = 1 and is not onto. Where F is a covering of a ball, and M "
        "is connected, it is a diffeomorphism, for a ball is simply connected: Theorem 3.6 then is about manifolds "
        "that are balls, and |D| = 1 in (22).",
        "vacuous",
    ),
    Erratum(
        "E49", "Proposition A.7: positive densities",
        "\"for any point x we have p(x) > 0\", not assumed",
        "p and q positive, M connected, and a local diffeomorphism F, as hypotheses",
        "P uniform on [0, 1] and q = 3x²: a C¹ map g has a pushforward of density at least 1/sup|g'| on its image, "
        "which is all of [0, 1], so q cannot vanish. And for M in two parts and N connected no continuous g is onto.",
        "wrong",
        "q = 3x² on [0, 1]: the quantile map u^{1/3} is not C¹.",
    ),
    Erratum(
        "E50", "Assumption 3.3 and Definition A.1: smoothness",
        "M of class C^{k,α} with C^{k+3,α} boundary, α ∈ (0, 1]; maps of class C^{k+1,α} on it",
        "M of class C^{k+3,α}, α ∈ (0, 1)",
        "On a manifold with C^{k,α} charts \"of class C^{k+1,α}\" has no meaning, its boundary is no smoother than it "
        "is, and its volume form is of class C^{k−1,α}. The theorem of [6] is for 0 < α < 1.",
        "imprecise",
    ),
    Erratum(
        "E51", "Theorem 3.6: constants",
        "for M and N there are g_enc, g_dec in F_CNN(L, S, W); d_θ = O(d_M θ⁻² log(d/θ)); factor d_M for both",
        "L, S, W as functions of M and N; d is d_S; factor d_S for the decoder",
        "L, S, W and d are not defined, so the network's size is free; f_CNN is real-valued, and the decoder has d_S "
        "coordinates. Nor do the networks' values lie in Z or M, where the maps are said to go.",
        "vacuous",
    ),
    # -- Experiments -------------------------------------------------------------------------------------------------
    Erratum(
        "E52", "Table 1 and Section 1",
        "batch sizes 16 and 32 do better than 8 and 64",
        "at all perturbations but α = 20, where 64 does best",
        "The table's own column.",
        "data",
        "Table 1, α = 20.",
        Evidence("tables", "batch-sizes"),
    ),
    Erratum(
        "E53", "Section 3.2.1 on Table 1",
        "\"the error induced by small batch sizes is too small\"",
        "the gradient's error is largest for the smallest batch",
        "The variance of a mean over a batch of B is 1/B of one sample's. Section 1 has it the other way too.",
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
        Evidence("tables", "parameters", "Quadruped, mask noise, μ2: text less Table 9"),
    ),
    Erratum(
        "E56", "Sections 5 and D.2: noise levels",
        "variance σ² from 0.05 to 0.55",
        "for Quadruped from 0.10",
        "Table 10 has no row for 0.05.",
        "data",
        "",
        Evidence("tables", "parameters", "Quadruped, least variance in Table 10 less the 0.05 of the text"),
    ),
    Erratum(
        "E57", "Section 5: better \"in all cases\"",
        "rewards are higher with regularization in all cases",
        "in all but the weakest mask: at 25 % Walker's baseline does better",
        "Table 6's own row. With five trials each it may be chance; the sentence is about the averages.",
        "data",
        "Table 6, 25 %.",
        Evidence("tables", "regularized"),
    ),
    Erratum(
        "E58", "Section 5 on Table 4",
        "with regularization the model converges ∼100K steps sooner",
        "with λ = 0.05; with λ = 0.1 it is behind the baseline at 100k, and ahead by a fifth of that at the end",
        "Table 4, interpolated.",
        "data",
        "",
        Evidence("tables", "extended", "Table 4, With Jacobian (λ = 0.1), largest lead of the baseline"),
    ),
    Erratum(
        "E59", "Section 5, references",
        "\"it can be seen from Table 3 and Figure 1\"; \"Appendix [63]\"",
        "Table 2 and Figure 1; there are 33 references",
        "Table 3 is about errors added to the encoder.",
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
"""In the order of the subjects; numbers are kept when entries come and go."""


if __name__ == "__main__":
    print(markdown(load()), end="")
