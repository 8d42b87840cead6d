"""What is wrong with photos, before anything is trained on them; from cached features, files untouched."""

from __future__ import annotations

from ..data.bursts import burst_groups, clocks
from .clean_csv import write_csv
from .issues import ISSUE_TYPES, Audit, Issue, check_issue_types
from .quick import quick_checks, quick_warnings
from .report import write_audit
from .run import audit_photos, run_checks

__all__ = [
    "ISSUE_TYPES",
    "Audit",
    "Issue",
    "audit_photos",
    "burst_groups",
    "check_issue_types",
    "clocks",
    "quick_checks",
    "quick_warnings",
    "run_checks",
    "write_audit",
    "write_csv",
]
