"""Every numbered statement of the paper, and what it says in a line.

``python -m theory_checks --statements`` lists them with the checks that cover them: which those are, the checks say. A
statement that no check covers says why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StatementKind = Literal["definition", "assumption", "claim", "data"]


@dataclass(frozen=True)
class Statement:
    """One numbered statement, or a lettered step of a proof.

    ``id`` as the paper numbers it, ``where`` the section, ``says`` its content in one line, and ``reason`` why no check
    covers it (only where none does).
    """

    id: str
    where: str
    says: str
    kind: StatementKind
    reason: str = ""


_DEFINED = "a definition: nothing to hold it against"
_NO_EXPERIMENT = "not covered: the paper's training runs are not repeated"

STATEMENTS: tuple[Statement, ...] = (
    # -- Section 1 ---------------------------------------------------------------------------------------------------
    Statement("Table 1", "1", "Rewards on perturbed states for batch sizes 8 to 64; 16 and 32 are said to do best",
              "data"),
    # -- Section 3 ---------------------------------------------------------------------------------------------------
    Statement("(1)", "3", "Latent encoder: z_t ~ q_enc(z_t | h_t, s_t)", "definition"),
    Statement("(2)", "3", "Sequence model: h_t = f(h_{t-1}, z_{t-1}, a_{t-1})", "definition"),
    Statement("(3)", "3", "Transition predictor: z̃_t ~ p(z̃_t | h_t)", "definition"),
    Statement("(4)", "3", "Latent decoder: s̃_t ~ q_dec(s̃_t | h_t, z̃_t)", "definition"),
    Statement("(5)", "3", "dz = (q_enc + εσ) dt + (q̄_enc + εσ̄) dB^enc, said to be the analogue of (1)", "definition"),
    Statement("(6)", "3", "dh = f(h, z, π(h, z)) dt + f̄ dB^seq, said to be the analogue of (2)", "definition"),
    Statement("(7)", "3", "dz̃ = p(h) dt + p̄(h) dB^pred, said to be the analogue of (3)", "definition"),
    Statement("(8)", "3", "ds̃ = q_dec(h, z̃) dt + q̄_dec(h, z̃) dB^dec, said to be the analogue of (4)", "definition"),
    Statement("Assumption 3.1", "3", "Coefficients bounded, C³, derivatives bounded and Lipschitz; initial values "
              "square-integrable", "assumption"),
    Statement("Assumption 3.2", "3", "The same for the errors σ and σ̄", "assumption"),
    # -- Section 3.1 -------------------------------------------------------------------------------------------------
    Statement("Assumption 3.3", "3.1", "States lie on a compact, connected, orientable C^{k,α} submanifold",
              "assumption"),
    Statement("Assumption 3.4", "3.1", "The state measure has a C^{k,α} density", "assumption"),
    Statement("KL bound", "3.1", "W1² ≤ C·KL up to a constant (unnumbered, from [11])", "claim"),
    Statement("Assumption 3.5", "3.1", "There is a map M → Z with det dF ≠ 0 everywhere", "assumption"),
    Statement("Theorem 3.6", "3.1", "CNN encoder and decoder with W1 error ≤ d_M C (NM)^{-2(k+1)/d_θ}", "claim"),
    # -- Section 3.2 -------------------------------------------------------------------------------------------------
    Statement("(9)", "3.2", "(5)–(8) as one system in x = (z, h, z̃, s̃)", "definition", reason=_DEFINED),
    Statement("Theorem 3.7", "3.2.1", "Zero drift: E L(x^ε) = E L(x⁰) + R + O(ε³) for a loss of class C²", "claim"),
    Statement("(10)", "3.2.1", "R = εP + ε²(Q + ½S)", "claim"),
    Statement("(11)", "3.2.1", "P = E ∇Lᵀ Φ Σ ξ^k, with Φ of the diffusions alone", "claim"),
    Statement("(12)", "3.2.1", "S = E Σ (Φξ)ᵀ ∇²L (Φξ); non-negative for a convex loss", "claim"),
    Statement("(13)", "3.2.1", "Q = E ∇Lᵀ Φ ∫ Φ⁻¹ H^k dB^k", "claim"),
    Statement("Corollary 3.8", "3.2.2", "General error: E L(x^ε) = E L(x⁰) + R + R̃ + O(ε³)", "claim"),
    Statement("(14)", "3.2.2", "R̃ = εP̃ + ε²(Q̃ + S̃)", "claim"),
    Statement("(15)", "3.2.2", "P̃ = E ∇Lᵀ Φ ξ̃", "claim"),
    Statement("(16)", "3.2.2", "Q̃ = E ∇Lᵀ Φ ∫ Φ⁻¹ H⁰ dt", "claim"),
    Statement("(17)", "3.2.2", "S̃ = E Σ (Φξ̃)ᵀ ∇²L (Φξ^k)", "claim"),
    Statement("(18)", "3.2.2", "E sup ‖Φ‖² ≤ Σ C exp(C E sup ‖∂g_k‖²)", "claim"),
    # -- Section 4 ---------------------------------------------------------------------------------------------------
    Statement("(19)", "4", "The rollout: h and z̃ alone, started at (h₀, z̃₀ + ε)", "definition", reason=_DEFINED),
    Statement("Theorem 4.1", "4", "d_ε ≤ δC(J₀ + J₁) + δ²C exp(H₀(J₀ + J₁)) + δ²C exp(H₁(J₀ + J₁)) + O(δ³)", "claim"),
    Statement("Corollary 4.2", "4", "Q(x^ε, a) to second order in ε, with bounds on ∂x and ∂²x", "claim"),
    Statement("(20)", "4", "The regularized loss L_dyn + λ‖J_θ‖_F", "definition"),
    # -- Section 5 ---------------------------------------------------------------------------------------------------
    Statement("Figure 1", "5", "Rewards against the degree of perturbation", "data",
              reason="drawn from Tables 6, 7, 9 and 10, which are covered"),
    Statement("Table 2", "5", "Rewards under perturbed images, with and without regularization", "data"),
    Statement("Table 3", "5", "Rewards under errors added to the encoder", "data", reason=_NO_EXPERIMENT),
    Statement("Table 4", "5", "Rewards with an extended horizon; ∼100K steps faster", "data"),
    # -- Appendix A --------------------------------------------------------------------------------------------------
    Statement("Definition A.1", "A", "C^{k,α} manifold", "definition", reason=_DEFINED),
    Statement("Figure 2", "A", "A sketch of the latent representation problem", "data",
              reason="a sketch; `sdewm figures latent_representation` draws one that is computed"),
    Statement("Definition A.2", "A", "Riemannian volume form", "definition", reason=_DEFINED),
    Statement("Assumption A.3", "A", "Assumption 3.3 again", "assumption"),
    Statement("Assumption A.4", "A", "Assumption 3.4 again", "assumption"),
    Statement("Assumption A.5", "A", "Assumption 3.5 again", "assumption"),
    Statement("Theorem A.6", "A", "Theorem 3.6 again", "claim"),
    Statement("(21)", "A", "The oracle maps push Q to P and P to Q", "definition", reason=_DEFINED),
    Statement("Proposition A.7", "A", "There is a C^{k+1,α} map g: N → M with g_# P = Q", "claim"),
    Statement("(22)", "A", "η̄ = (1/|D|) Σ (F|⁻¹)* ω has total mass 1, and F*η̄ = ω", "claim"),
    # -- Appendix B --------------------------------------------------------------------------------------------------
    Statement("(23)", "B", "(5) again, without ε", "definition", reason=_DEFINED),
    Statement("(24)", "B", "(6) again", "definition", reason=_DEFINED),
    Statement("(25)", "B", "(7) again", "definition", reason=_DEFINED),
    Statement("(26)", "B", "(8) again", "definition", reason=_DEFINED),
    Statement("Proposition B.1", "B", "With h and s known, z is Gaussian with mean ∫q_enc and variance ∫q̄_enc²",
              "claim"),
    Statement("(27)", "B", "(5) without error", "definition"),
    Statement("Assumption B.2", "B", "Assumption 3.1 again", "assumption"),
    Statement("Assumption B.3", "B", "Assumption 3.2 again", "assumption"),
    Statement("Theorem B.4", "B", "Theorem 3.7 again", "claim"),
    Statement("(28)", "B", "(10) again", "claim"),
    Statement("(29)", "B", "(11) again", "claim"),
    Statement("(30)", "B", "(13) again", "claim"),
    Statement("(31)", "B", "(12) again", "claim"),
    Statement("(32)", "B", "The general perturbed system dx = Σ (g_k + εη_k) dB^k", "definition", reason=_DEFINED),
    Statement("Proposition B.5", "B", "A C² function of x^ε expands to second order in ε", "claim"),
    Statement("(33)", "B", "f(x^ε) = f + ε∇f·∂x + ε²(∇f·∂²x + ½ ∂xᵀ∇²f ∂x) + O(ε³)", "claim"),
    Statement("(34)", "B", "The SDEs of ∂_ε x⁰ and ∂²_ε x⁰", "claim"),
    Statement("(35)", "B", "(32) with the drift as k = 0", "definition", reason=_DEFINED),
    Statement("(*)", "B", "(35) with ε as a state, to differentiate in an initial value", "definition",
              reason=_DEFINED),
    Statement("(36)", "B", "The SDE of ∂_ε x", "claim"),
    Statement("(**)", "B", "(35), (36) and ε as one system", "definition", reason=_DEFINED),
    Statement("(37)", "B", "The SDE of ∂²_ε x", "claim"),
    Statement("(38)", "B", "The SDE of x⁰", "definition", reason=_DEFINED),
    Statement("(39)", "B", "(36) at ε = 0", "claim"),
    Statement("(40)", "B", "(37) at ε = 0", "claim"),
    Statement("Lemma B.6", "B", "E sup ‖x⁰‖², E sup ‖∂x‖², E sup ‖∂²x‖² are bounded", "claim",
              reason="not covered: that moments are finite, without a bound, no sample can show"),
    *(
        Statement(f"Lemma B.6 {step}", "B", says, "claim", reason=reason)
        for step, says, reason in (
            ("(41)", "E sup ‖x‖² in terms of x₀ and the integrals", "an elementary inequality"),
            ("(i)", "The drift's integral by Jensen", "an elementary inequality"),
            ("(ii)", "Linear growth of the drift", "follows from the assumption"),
            ("(iii)", "Supremum and Fubini", "an elementary inequality"),
            ("(iv)", "Burkholder–Davis–Gundy for the noise", "a theorem of the literature"),
            ("(v)", "Linear growth of the diffusion; the square is missing", "a misprint: see the errata"),
            ("(vi)", "The same for ∂x: the two integrals of the drift", "names what (vii) bounds"),
            ("(vii)", "Jensen and linear growth of η₀", "an elementary inequality"),
            ("(viii)", "Bounded derivatives of g₀", "follows from the assumption"),
            ("(ix)", "Burkholder–Davis–Gundy for ∂x", "a theorem of the literature"),
            ("(x)", "As (vii) and (viii)", "follows from the assumption"),
        )
    ),
    Statement("Lemma B.7", "B", "E sup ‖R^ε‖² is bounded, R^ε the remainder over ε³", "claim"),
    Statement("Lemma B.7 terms", "B", "ε³R^ε = Σ θ_k + φ_k + σ_k", "claim"),
    *(
        Statement(f"Lemma B.7 {step}", "B", says, "claim", reason)
        for step, says, reason in (
            ("(i)", "Burkholder–Davis–Gundy for θ_k", "a theorem of the literature"),
            ("(ii)", "g_k is Lipschitz", "follows from the assumption"),
            ("(iii)", "E sup ‖θ_k‖² ≤ C ∫ E sup ‖R^ε‖²; ε⁶ is missing", ""),
            ("(42)", "Taylor's theorem for g_k along x̃^ε", ""),
            ("(iv)", "φ_k by (42) and Burkholder–Davis–Gundy", ""),
            ("(v)", "The two differences apart", "an elementary inequality"),
            ("(vi)", "∂g_k and Ψ_k are Lipschitz", "Ψ_k's constant is ‖∂x‖⁴: see the errata"),
            ("(vii)", "E sup ‖φ_k‖² is bounded", ""),
            ("(ix)", "σ_k by Jensen and Burkholder–Davis–Gundy", ""),
            ("(x)", "Linear growth of η_k", "follows from the assumption"),
            ("(xi)", "E sup ‖σ_k‖² is bounded", ""),
        )
    ),
    Statement("(a)", "B", "∂x by variation of constants", "claim"),
    Statement("(b)", "B", "∂²x by variation of constants", "claim"),
    Statement("(43)", "B", "dΦ = ∂g_k Φ dB^k, the drift included", "definition"),
    Statement("(44)", "B", "Φ(0) = I", "definition"),
    Statement("(45)", "B", "Φ = exp(∫A dB − ½∫AAᵀ ds) where the Jacobians commute", "claim"),
    # -- Appendix C --------------------------------------------------------------------------------------------------
    Statement("Theorem C.1", "C", "Theorem 4.1 again, with its terms", "claim"),
    Statement("(46)", "C", "The bound of Theorem 4.1", "claim"),
    Statement("(47)", "C", "A general system with a perturbed initial value", "definition", reason=_DEFINED),
    Statement("(48)", "C", "x(0) = x₀ + ε", "definition", reason=_DEFINED),
    Statement("Proposition C.2", "C", "E sup ‖x^ε − x⁰‖² is bounded in δ and δ²", "claim"),
    Statement("(49)", "C", "Its first-order term, Cδ(C E sup ‖∂g‖²)", "claim"),
    Statement("(50)", "C", "Its second-order term", "claim"),
    Statement("(51)", "C", "(47) with the drift as k = 0", "definition", reason=_DEFINED),
    Statement("(52)", "C", "The SDE of ∂_i x, started at e_i", "claim"),
    Statement("(53)", "C", "The SDE of ∂²_ij x, started at e_j", "claim"),
    Statement("(54)", "C", "x^ε = x⁰ + ε^i ∂_i x + ½ ε^i ε^j ∂²_ij x + O(ε³)", "claim"),
    Statement("(55)", "C", "Burkholder–Davis–Gundy for ∂_i x", "claim", reason="a theorem of the literature"),
    Statement("(56)", "C", "E sup ‖∂_i x‖² ≤ Σ C exp(C E sup ‖∂g_k‖²)", "claim"),
    Statement("(57)", "C", "Burkholder–Davis–Gundy for ∂²_ij x", "claim",
              reason="rests on (53), which is refuted: it has no inhomogeneous term to bound"),
    Statement("(58)", "C", "Gronwall's inequality for ∂²_ij x", "claim", reason="rests on (57)"),
    Statement("(59)", "C", "E sup ‖∂²_ij x‖² by Hessians and Jacobians", "claim", reason="rests on (57) and (56)"),
    Statement("Proof of Theorem C.1", "C", "A local maximizer of Q is a C² function of the state", "claim"),
    # -- Appendix D --------------------------------------------------------------------------------------------------
    Statement("Table 5", "D", "Hyperparameters", "data", reason="settings, not results"),
    Statement("Table 6", "D", "Walker under masks", "data"),
    Statement("Table 7", "D", "Walker under Gaussian noise", "data"),
    Statement("Table 8", "D", "Walker under rotations", "data"),
    Statement("Table 9", "D", "Quadruped under masks", "data"),
    Statement("Table 10", "D", "Quadruped under Gaussian noise", "data"),
    Statement("Table 11", "D", "Quadruped under rotations", "data"),
    *(
        Statement(f"Figure {n}", "D", says, "data", reason=_NO_EXPERIMENT)
        for n, says in (
            (3, "Walker's scores under zero-drift errors"),
            (4, "Walker's scores under errors with drift"),
            (5, "Quadruped's scores under zero-drift errors"),
            (6, "Quadruped's scores under errors with drift"),
            (7, "Walker's scores with an extended horizon"),
        )
    ),
)  # fmt: skip
"""In the paper's order."""
