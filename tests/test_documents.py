"""What the documents tell a person to type is run by a test or by CI, and what they name exists."""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys

import numpy as np
import pytest

import bench.harness
import models.train
from bench.__main__ import summaries
from bench.backend import names
from bench.case import PRECISIONS
from fixtures.options import CASES, GATE, STREAMS, YOURS
from models.images import MEAN, STD, normalise
from tests.bench.test_command_line import of_command, parsers
from tests.documents import FILES, ROOT, blocks, commands, files, messages, options, text
from tests.test_documented_commands import RUN

BY_CI = {
    "make bench": (".ci/run", "make bench OPTIONS="),
    "make test": (".ci/run", "make test "),
    "make lint": (".ci/run", "make lint\n"),
    "make harness": (".ci/run", "make harness OPTIONS="),
    "make test-tensorrt-api": (".ci/run", "make test-tensorrt-api\n"),
    "make test GPU=1": (".github/workflows/gpu.yml", "make test GPU=1\n"),
    "make bench GPU=1": (".github/workflows/gpu.yml", "make bench GPU=1 "),
    "pytest tests/accuracy": (".ci/run", "make test TESTS=tests/accuracy "),
    "pytest tests/ -n 2": ("Makefile", "-n 2)"),
    "pytest tests/ -n auto": ("Makefile", "-n auto,"),
    ".ci/run": (".github/workflows/cpu.yml", "run: .ci/run\n"),
    ".ci/bench --gate": (".github/workflows/cpu.yml", "run: .ci/bench --gate "),
}
"""Commands that CI runs: the file that does, and where in it."""
BY_TEST = {
    'make baseline REASON="the first"': "tests/fixtures/test_first_baseline.py::"
    "test_first_run_ends_with_two_commands_that_create_the_baseline",
    'make baseline REASON="..."': "tests/fixtures/test_first_baseline.py::"
    "test_first_run_ends_with_two_commands_that_create_the_baseline",
    "make baseline FRESH=1": "tests/test_make.py::test_fresh_baseline_builds_the_engines_of_each_run_anew",
    ".ci/bench ARGUMENTS": "tests/test_ci.py::test_clean_run_exits_with_0_and_leaves_every_file",
    "pytest bench/ ARGUMENTS": "tests/test_ci.py::test_clean_run_exits_with_0_and_leaves_every_file",
    "python -m bench ab --a PLACE --b PLACE --cases CASE,...": "tests/bench/test_ab.py::"
    "test_command_prints_a_verdict_per_case",
    "pytest tests/bench/test_conformance.py -k onnx_reference": "tests/test_example_backend.py::"
    "test_example_backend_passes_the_conformance_suite_and_can_be_measured",
    "pytest bench/ --backends onnx_reference --batch-sizes 1": "tests/test_example_backend.py::"
    "test_example_backend_passes_the_conformance_suite_and_can_be_measured",
    "python -m bench tables --readme README.md": "tests/bench/test_tables.py::"
    "test_the_readme_shows_what_the_stored_runs_give",
    "python -m bench tables FILE": "tests/bench/test_joined_runs.py::"
    "test_figures_not_shown_are_counted_and_stand_in_the_tables_of_their_file_alone",
    "python -m bench ranges": "tests/bench/test_ranges.py::test_our_own_calibrations_are_compared",
    "python -m bench variants --from docs/variants/*.json": "tests/bench/test_variants.py::"
    "test_the_files_of_variants_in_docs_are_shown",
    "python -m bench sweep --from docs/sweep-h100-*.json": "tests/bench/test_sweep_shown.py::"
    "test_the_sweeps_in_docs_are_shown_with_their_plots",
    "make bench ALL=1": "tests/test_make.py::test_all_leaves_nothing_out",
    "make test ALL=1": "tests/test_make.py::test_all_leaves_nothing_out",
    "make help": "tests/test_make.py::test_make_help_lists_every_target",
    "pytest --help": "tests/test_documents.py::test_help_of_pytest_lists_the_suite_s_options_in_groups",
    "python -m bench --help": "tests/bench/test_main.py::test_help_lists_every_command_with_its_first_line",
    'eval "$(activate-global-python-argcomplete --dest=-)"': "tests/test_documented_commands.py::"
    "test_shell_completes_after_the_lines_of_the_documents",
    'eval "$(register-python-argcomplete pytest)"': "tests/test_documented_commands.py::"
    "test_shell_completes_after_the_lines_of_the_documents",
}
"""Commands that another test runs, with inputs of its own."""
MADE = {
    ".venv", ".bench_cache", "benchmark.json", "benchmark.unfinished.json", "run.json", "run.unfinished.json",
    "report.html", "report.md", "junit.xml", "ci-results/",
    ".gitlab-ci.yml", "onnx_reference.py", "bench/backends/NAME.py",
}  # fmt: skip
"""Files that a command makes, or that the reader is to write."""
ELSEWHERE = {"--dest"}
"""Options of programs that are not the suite's."""


@pytest.mark.parametrize("name", FILES)
def test_every_command_is_run_by_a_test_or_by_ci(name: str) -> None:
    found = commands(name)
    assert len(found) > 2
    assert [each for each in found if each not in {*BY_CI, *BY_TEST, *RUN}] == []


def test_no_proof_is_left_of_a_command_that_is_gone() -> None:
    told = {each for name in FILES for each in commands(name)}
    assert {*BY_CI, *BY_TEST, *RUN} - told == set()


@pytest.mark.parametrize("command", BY_CI)
def test_ci_runs_the_commands_that_it_is_said_to(command: str) -> None:
    file, line = BY_CI[command]
    assert line in text(file)


@pytest.mark.parametrize("command", BY_TEST)
def test_tests_that_run_a_command_exist(command: str) -> None:
    file, _, name = BY_TEST[command].partition("::")
    assert f"def {name}(" in text(file)


def test_blocks_hold_nothing_but_commands_and_the_diagram() -> None:
    assert [line for name in FILES for line in blocks(name)] == [
        "model -> graph -> engine -> measurement -> verdict -> report"
    ]


@pytest.fixture(scope="module")
def pytest_help() -> str:
    """What `pytest --help` prints."""
    words = [sys.executable, "-m", "pytest", "--help"]
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, encoding="utf-8").stdout


@pytest.fixture(scope="module")
def known_options(pytest_help: str) -> set[str]:
    """Every long option of pytest with this suite, of `python -m bench`, of the harness and of training."""
    every = [parser for name in summaries() for parser in parsers(of_command(name))]
    found = {option for parser in every for action in parser._actions for option in action.option_strings}
    shown = io.StringIO()
    for program in (bench.harness.main, models.train.main):
        with pytest.raises(SystemExit), contextlib.redirect_stdout(shown):
            program(["--help"])
    return found | set(re.findall(r"--[a-z][a-z0-9-]+", pytest_help + shown.getvalue()))


@pytest.mark.parametrize("name", FILES)
def test_every_option_exists(name: str, known_options: set[str]) -> None:
    assert options(name) - known_options - ELSEWHERE == set()


def test_help_of_pytest_lists_the_suite_s_options_in_groups(pytest_help: str) -> None:
    for group in (CASES, YOURS, GATE, STREAMS):
        assert re.search(rf"^{re.escape(group)}.*:$", pytest_help, re.MULTILINE)


def test_scale_of_what_a_network_is_fed_is_told_in_readme_and_help(pytest_help: str) -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    np.testing.assert_allclose(normalise(grey).ravel(), (grey.ravel() / 255 - MEAN) / STD, rtol=1e-5, atol=1e-6)
    readme = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Your model, your images\n")[2]
    for told in (readme, pytest_help):
        assert f"The network is fed (x/255 - {MEAN})/{STD} of each pixel x, 0 to 255" in " ".join(told.split())


@pytest.mark.parametrize("name", FILES)
def test_every_file_exists(name: str) -> None:
    assert [each for each in sorted(files(name) - MADE) if not (ROOT / each).exists()] == []


def test_backends_and_precisions_are_those_there_are() -> None:
    (row,) = re.findall(r"^\| backends \|(.*)\|$", text("README.md"), re.MULTILINE)
    assert sorted(re.findall(r"`(\w+)`", row)) == list(names())
    (row,) = re.findall(r"^\| precisions \| `([^`]+)`", text("README.md"), re.MULTILINE)
    assert tuple(row.split()) == PRECISIONS


def test_every_error_message_is_one_that_the_suite_gives() -> None:
    code = " ".join(
        path.read_text()
        for part in ("bench", "fixtures", "models", "tests/accuracy")
        for path in (ROOT / part).rglob("*.py")
    )
    # A message is written in pieces of one line each.
    code = re.sub(r'"\s*\n\s*f?"', "", code)
    found = messages()
    assert len(found) > 9
    for message in found:
        parts = [part.strip() for part in re.split(r"\.\.\.|\b[XN]\b|'b'|\b\d+|\(|\)", message)]
        for part in parts:
            assert len(part) < 3 or part in code, f"{message!r}: {part!r} is in no source"


def test_results_stand_between_the_markers_that_generate_them() -> None:
    begin, end = "<!-- results: begin -->", "<!-- results: end -->"
    readme = text("README.md")
    assert readme.count(begin) == readme.count(end) == 1
    assert readme.index("## Results") < readme.index(begin) < readme.index(end)
