"""How far perturbed rollouts diverge: measured, and bounded."""
