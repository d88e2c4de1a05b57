"""What the files for GitHub and GitLab say that no lint sees: who waits for whom, and what is kept for the next job."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.documents import ROOT, text

if TYPE_CHECKING:
    from pathlib import Path

GITLAB = text("docs/gitlab-ci.yml")


def test_pull_request_does_not_cancel_another_s_waiting_gate() -> None:
    (group,) = re.findall(r"^concurrency:\n  group: (.*)\n", text(".github/workflows/gpu.yml"), re.MULTILINE)
    assert "${{ github.ref }}" in group


def test_gitlab_s_jobs_keep_engines_of_their_own() -> None:
    (key,) = re.findall(r"- key: (engines\S*)", GITLAB)
    assert key == "engines-$CI_JOB_NAME"


def test_gitlab_s_next_job_installs_only_what_changed(tmp_path: Path) -> None:
    (block,) = re.findall(r"^  before_script:\n((?: {4}.*\n)+)", GITLAB, re.MULTILINE)
    script = "\n".join(re.findall(r"^    - (.*)", block, re.MULTILINE))
    real = shutil.which("make")
    # What make would do is told, and the mark set that it leaves.
    (tmp_path / "bin").mkdir()
    make = tmp_path / "bin" / "make"
    make.write_text(f'#!/bin/sh\n{real} -n "$@" && mkdir -p .venv && touch .venv/.ready\n')
    make.chmod(0o755)
    files = [*ROOT.glob("requirements*.txt"), ROOT / "Makefile"]

    def job() -> str:
        """Check the files out, run what comes before each job's script, and return what was done."""
        for file in files:
            if not (tmp_path / file.name).exists():
                shutil.copyfile(file, tmp_path / file.name)
            (tmp_path / file.name).touch()
        plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-e", "-c", script],  # noqa: S607 - whichever bash there is
            cwd=tmp_path, env={**plain, "PATH": path, "GPU": ""}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        assert done.stderr == ""
        return done.stdout

    assert "pip install" in job()
    assert "pip install" not in job()
    for name in ("requirements-dev.txt", "Makefile"):
        with (tmp_path / name).open("a") as file:
            file.write("# another\n")
        assert "pip install" in job()
        assert "pip install" not in job()
