"""What the files for GitHub and GitLab say that no lint sees: who waits for whom, and what is kept for the next job."""

from __future__ import annotations

import re

from tests.documents import text


def test_pull_request_does_not_cancel_another_s_waiting_gate() -> None:
    (group,) = re.findall(r"^concurrency:\n  group: (.*)\n", text(".github/workflows/gpu.yml"), re.MULTILINE)
    assert "${{ github.ref }}" in group
