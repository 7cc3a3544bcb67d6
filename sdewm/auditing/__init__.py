"""A world model audited: how far its predictions can be trusted, and what the theory says of its errors."""

from sdewm.auditing.audit import audit
from sdewm.auditing.findings import ExpandedLoss
from sdewm.auditing.model_audit import ModelAudit

__all__ = ["ExpandedLoss", "ModelAudit", "audit"]
