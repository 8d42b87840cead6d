"""What is wrong with photos, before anything is trained on them; from cached features, files untouched."""

from __future__ import annotations

from .brief import brief, brief_cautions
from .bursts import burst_groups, clocks
from .findings import KINDS, Audit, Finding, check_kinds
from .leaving_out import write_csv
from .page import write_audit
from .survey import audit, survey

__all__ = [
    "KINDS",
    "Audit",
    "Finding",
    "audit",
    "brief",
    "brief_cautions",
    "burst_groups",
    "check_kinds",
    "clocks",
    "survey",
    "write_audit",
    "write_csv",
]
