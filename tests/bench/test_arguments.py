"""A value that a command cannot use ends it in one line that names the option, before any work."""

from __future__ import annotations

import shlex
from argparse import ArgumentParser
from typing import TYPE_CHECKING

import pytest
import torch

import bench.harness
from bench.__main__ import main
from bench.arguments import add_engine_place, count, counts, file_to_write, positive, share

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = {
    "ab": "--a . --b . --cases torch-fp32-b1",
    "faults": "",
    "gate": "run.json",
    "ranges": "",
    "report": "run.json --out report.md",
    "selftest": "",
    "stream": "--images x --out y --backend torch --precision fp32",
    "sweep": "--json sweep.json",
    "trace": "--out trace.json",
    "variants": "--backend openvino",
}
REFUSED = {
    "is not a whole number from 1": [
        "ab --image-size=0", "ab --prove=-1", "faults --image-size=x", "faults --images=0", "ranges --images=0",
        "ranges --image-size=1.5", "ranges --swap=-1", "ranges --top=0", "selftest --baseline-runs=-1",
        "selftest --runs=0", "selftest --trials=0", "stream --batch-size=0", "sweep --batch-sizes=0,2",
        "sweep --batch-sizes=1,x", "sweep --image-size=0", "trace --batch-sizes=0", "trace --image-size=0",
        "trace --passes=0", "trace --runs=0", "variants --batch-size=0", "variants --image-size=0",
        "variants --turns=0",
    ],
    "is not a number above 0": [
        "ab --budget=-5", "ab --budget=nan", "ab --margin=0", "sweep --seconds=-1", "sweep --seconds=inf",
        "trace --pair-seconds=0", "trace --seconds=nan", "variants --build-budget=x",
    ],
    "is not a share between 0 and 1": ["ab --margin=3", "gate --max-fps-drop=1", "report --max-fps-drop=1"],
    "there is no folder gone": [
        "ranges --json=gone/x", "report --out=gone/x.md", "selftest --out=gone/x", "stream --json=gone/x",
        "sweep --json=gone/x",
        "sweep --plot=gone/x", "trace --out=gone/x.json", "variants --json=gone/x",
    ],
    "this is a folder; name a file to write": [
        "stream --json=.", "sweep --plot=.", "trace --out=.", "variants --json=.",
    ],
    "the folder /proc cannot be written": ["trace --out=/proc/x.json"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("given", "why"), [pytest.param(given, why, id=given) for why, each in REFUSED.items() for given in each]
)
def test_value_that_a_command_cannot_use_is_refused_by_its_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    name, option = given.split()
    with pytest.raises(SystemExit) as ended:
        main([name, *shlex.split(NEEDED[name]), option])
    assert ended.value.code == 2
    captured = capsys.readouterr()
    line = captured.err.splitlines()[-1]
    assert f" error: argument {option.partition('=')[0]}: " in line
    assert line.endswith(why)
    assert captured.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["stream", "sweep", "trace", "variants"])
def test_gpu_that_is_not_there_is_refused_before_the_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        main([name, *shlex.split(NEEDED[name]), "--device=cuda"])
    assert ended.value.code == 2
    assert (
        capsys.readouterr()
        .err.splitlines()[-1]
        .startswith(f"python -m bench {name}: error: argument --device: no CUDA device (")
    )


@pytest.mark.parametrize(("there", "found"), [(True, "cuda"), (False, "cpu")])
def test_engines_run_on_a_gpu_if_there_is_one(monkeypatch: pytest.MonkeyPatch, there: bool, found: str) -> None:  # noqa: FBT001 - a parameter
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    parser = ArgumentParser()
    add_engine_place(parser)
    assert parser.parse_args([]).device == found
    assert parser.parse_args(["--device=cpu"]).device == "cpu"


@pytest.mark.parametrize("given", ["--turns=0", "--batch-size=0", "--seconds=0.5", "--seconds=-1", "--seconds=soon"])
def test_harness_refuses_counts_that_are_none_before_anything_is_built(
    given: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        bench.harness.main([given])
    option, _, value = given.partition("=")
    assert f"argument {option}: {value} is not a whole number from 1" in capsys.readouterr().err


def test_images_that_there_are_not_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for option in ("--image-size=10", "--images=17"):
        assert main(["faults", option]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("cannot build: ")


@pytest.mark.parametrize(("name", "cannot"), [("ab", "compare"), ("trace", "record")])
def test_size_that_the_network_cannot_halve_is_one_line_before_any_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, cannot: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bench.workers.subprocess", None)
    assert main([name, *shlex.split(NEEDED[name]), "--image-size=33"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"cannot {cannot}: the U-Net halves its input 4 times, so height and width must be ")
    assert not list(tmp_path.iterdir())


def test_values_are_read_as_what_they_mean(tmp_path: Path) -> None:
    assert count("12") == 12
    assert counts("4, 1,4") == [1, 4]
    assert positive("0.5") == 0.5
    assert share("0.01") == 0.01
    assert file_to_write(str(tmp_path / "new.json")) == tmp_path / "new.json"


def test_run_is_judged_against_a_baseline_or_against_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["gate", "run.json", "--baseline", "stored.json", "--against", "old.json"])
    assert "argument --against: not allowed with argument --baseline" in capsys.readouterr().err
