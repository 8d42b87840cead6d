"""What is wrong with photos, before anything is trained on them; from cached features, files untouched."""

from __future__ import annotations

from ..data.bursts import burst_groups, clocks
from .clean_csv import write_csv
from .issues import KINDS, Audit, Finding, check_kinds
from .quick import brief, brief_cautions
from .report import write_audit
from .run import audit_photos, survey

__all__ = [
    "KINDS",
    "Audit",
    "Finding",
    "audit_photos",
    "brief",
    "brief_cautions",
    "burst_groups",
    "check_kinds",
    "clocks",
    "survey",
    "write_audit",
    "write_csv",
]
