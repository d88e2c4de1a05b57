"""What `make` lists, runs and leaves out."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.documents import ROOT
from tests.fixtures.sessions import Desk

if TYPE_CHECKING:
    from pathlib import Path


def test_make_help_lists_every_target() -> None:
    shown = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True, text=True).stdout  # noqa: S607 - whichever make there is
    targets = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
    assert sorted(line.split()[0] for line in shown.splitlines()) == sorted(targets)


def test_these_tests_pass_where_make_began_them_with_words_of_its_own() -> None:
    told = {"GPU": "1", "PY": "x", "OPTIONS": "-v", "MAKELEVEL": "1", "MAKEFLAGS": " -- OPTIONS=-v PY=x GPU=1"}
    command = [sys.executable, "-m", "pytest", "-q", __file__, "-k", "help_lists or leaves_nothing_out"]
    shown = subprocess.run(command, cwd=ROOT, env=os.environ | told, check=False, capture_output=True, text=True).stdout
    assert "9 passed" in shown, shown


@pytest.mark.parametrize(
    ("target", "runs"), [("bench", "bench/ --benchmark-json benchmark.json"), ("test", "tests/ --batch-sizes 1")]
)
@pytest.mark.parametrize(
    ("words", "left_out"), [((), True), (("ALL=1",), False), (("GPU=1",), False), (("ALL=0", "GPU=0"), True)]
)
def test_all_leaves_nothing_out(
    target: str,
    runs: str,
    words: tuple[str, ...],
    left_out: bool,  # noqa: FBT001 - a parameter
) -> None:
    recipe = subprocess.run(
        ["make", "-n", target, f"PY={sys.executable}", *words],  # noqa: S607 - whichever make there is
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert f"{sys.executable} -m pytest {runs}" in recipe
    assert ("-k" in shlex.split(recipe)) is left_out


def test_make_test_leaves_out_the_masks_of_torch_compile_alone_and_ci_runs_them(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    recipe = subprocess.run(
        ["make", "-n", "test", f"PY={sys.executable}"],  # noqa: S607 - whichever make there is
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    words = shlex.split(recipe)
    sieve = words[words.index("-k") + 1]

    def collected(*options: str) -> set[str]:
        shown = desk.run(
            str(ROOT / "tests" / "accuracy"), str(ROOT / "tests" / "bench" / "test_conformance.py"),
            "--collect-only", "-q", "--device=cpu", "--batch-sizes=1", *options,
        ).text  # fmt: skip
        return set(re.findall(r"^\S+::\S+$", shown, re.MULTILINE))

    left_out = collected() - collected("-k", sieve)
    assert len({name.partition("[")[2] for name in left_out}) >= 2
    assert all("test_masks.py" in name and "[torch_compile-" in name for name in left_out)
    assert left_out == {name for name in collected("-k", "torch_compile") if "test_masks.py" in name}
    assert 'make test TESTS=tests/accuracy OPTIONS="-k torch_compile"\n' in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize(("words", "fresh"), [(("FRESH=1",), True), (("FRESH=0",), False), ((), False)])
def test_fresh_baseline_builds_the_engines_of_each_run_anew(
    tmp_path: Path,
    words: tuple[str, ...],
    fresh: bool,  # noqa: FBT001 - a parameter
) -> None:
    earlier = tmp_path / ".bench_cache" / "baseline-2" / "engine"
    earlier.mkdir(parents=True)
    command = ["make", "-s", "-C", str(tmp_path), "-f", str(ROOT / "Makefile"), "baseline", "RUNS=2", "PY=echo"]
    shown = subprocess.run([*command, "REASON=x", *words], check=True, capture_output=True, text=True).stdout
    *runs, accepted = (line for line in shown.splitlines() if line.startswith("-m "))
    assert len(runs) == 2
    caches = re.findall(r"baseline-run-(\d)\.json .*--cache-dir (\S+)", shown)
    assert caches == ([(each, f".bench_cache/baseline-{each}") for each in "12"] if fresh else [])
    assert earlier.exists() is not fresh
    assert accepted == "-m bench baseline accept baseline-run-1.json baseline-run-2.json --reason x"


def _install(folder: Path, *words: str) -> str:
    """Return what `make install` would do for the environment in a folder."""
    return subprocess.run(
        ["make", "-n", "install", f"VENV={folder}", *words],  # noqa: S607 - whichever make there is
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


@pytest.mark.parametrize("words", [(), ("GPU=1",)])
def test_environment_is_made_where_a_link_leads(tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    made = next(line for line in _install(tmp_path / "link", *words).splitlines() if " -m venv " in line)
    subprocess.run([*shlex.split(made), "--without-pip"], check=True)
    assert (tmp_path / "disk" / "pyvenv.cfg").exists()
    assert (tmp_path / "link").is_symlink()


def test_environment_without_cuda_is_cleared_before_cuda_is_installed(tmp_path: Path) -> None:
    (tmp_path / ".ready").touch()
    assert f'-m venv --clear "{tmp_path}"\n' in _install(tmp_path, "GPU=1")
    (tmp_path / ".ready-gpu").touch()
    assert "-m venv" not in _install(tmp_path, "GPU=1")
    os.utime(tmp_path / ".ready-gpu", (0, 0))
    assert re.search(rf'-m venv +"{tmp_path}"\n', _install(tmp_path, "GPU=1"))


def test_environment_made_anew_without_cuda_is_no_longer_taken_for_one_with_it(tmp_path: Path) -> None:
    assert f"rm -f {tmp_path}/.ready-gpu\n" in _install(tmp_path)


def test_environment_depends_on_every_requirement_that_is_installed_into_it() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for mark in (".ready", ".ready-gpu"):
        (rule,) = re.findall(rf"^\$\(VENV\)/{re.escape(mark)}: (.*)\n((?:.+\n)+)", makefile, re.MULTILINE)
        assert set(rule[0].split()) >= set(re.findall(r"(?<![/\w])requirements[\w-]*\.txt", rule[1]))


@pytest.mark.parametrize("by_environment", [False, True])
def test_reason_of_a_baseline_may_hold_quotes_and_dollar_signs(
    tmp_path: Path,
    by_environment: bool,  # noqa: FBT001 - a parameter
) -> None:
    shown, reason = tmp_path / "shown", 'driver "570 beta", it\'s `new` in $HOME, $(PY), $$ and 5 $'
    python = tmp_path / "python"
    python.write_text(f"""#!/bin/sh\nprintf '%s\\n' "$@" > {shown}\n""")
    python.chmod(0o755)
    command = ["make", "-s", "baseline", "RUNS=0", f"PY={python}"]
    if by_environment:
        subprocess.run(command, cwd=ROOT, env=os.environ | {"REASON": reason}, check=True)
    else:
        subprocess.run([*command, f"REASON={reason}"], cwd=ROOT, check=True)
    assert shown.read_text().splitlines()[-2:] == ["--reason", reason]
