"""The findings as text, the faults last, where they are seen."""

import textwrap
from collections.abc import Sequence

from cogrl.doctor.finding import Finding

_WIDTH = 116
_LINES = 3
"""So many of a finding's lines are shown: the others mostly say the same of other lines of a manifest."""
_MARKS = {"ok": "ok", "warning": "warning", "fault": "FAULT", "not run": "not run"}


def report(findings: Sequence[Finding]) -> str:
    """One paragraph a finding, in order, and a last line that counts the faults."""
    widest = max((len(finding.name) for finding in findings), default=0)
    lines = [line for finding in findings for line in paragraph(finding, widest)]
    return "\n".join([*lines, summary(findings)])


def summary(findings: Sequence[Finding]) -> str:
    """How many faults and warnings there are."""
    faults, warnings = (sum(finding.state == state for finding in findings) for state in ("fault", "warning"))
    found = f"doctor: {faults or 'no'} fault{'s' * (faults > 1)}, {warnings or 'no'} warning{'s' * (warnings > 1)}"
    return f"{found}; put the faults right first" if faults else found


def paragraph(finding: Finding, widest: int) -> list[str]:
    head = f"{_MARKS[finding.state]:<8} {finding.name:<{widest}}  "
    first, more = finding.seen.splitlines()[:_LINES], len(finding.seen.splitlines()) - _LINES
    text = [*first, *([f"... and {more} more"] if more > 0 else []), *([f"-> {finding.advice}"] * bool(finding.advice))]
    lines = [part for line in text for part in wrap(line, _WIDTH - len(head))]
    return [(head if number == 0 else " " * len(head)) + line for number, line in enumerate(lines)]


def wrap(line: str, width: int) -> list[str]:
    return textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)


def faults(findings: Sequence[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.state == "fault"]
