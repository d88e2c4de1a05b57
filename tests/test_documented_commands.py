"""The commands of the documents, word for word, on tiny inputs."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import bench.commands.baseline
import bench.commands.faults
import bench.commands.gate
import models.graphs
import models.train
from bench.__main__ import main
from bench.baseline import load_baseline
from bench.checksum import sealed
from bench.faults.verdicts import Outcome
from bench.results import read_run
from tests.bench.networks import SIZE, quick, trained
from tests.documents import ROOT
from tests.fixtures.matrix import ONE
from tests.fixtures.sessions import FACTORY, ON_CPU, QUICK, Desk, read

TINY = ("--image-size=64", "--samples=2", "--model=mypackage.nets:make", "--weights=best.pt")
RUN: dict[str, tuple[str, ...]] = {
    "pytest bench/ --benchmark-json run.json": (*TINY, *ONE, "--benchmark-json=another.json"),
    "pytest bench/ --backends openvino,onnxruntime --precisions fp32,int8 --batch-sizes 1,16": (*TINY, "-kinference"),
    'pytest bench/ -k "int8 and b1"': (*TINY, "--backends=openvino"),
    "pytest bench/ --require openvino": (*TINY, *ONE),
    "pytest bench/ --report report.html": (*TINY, *ONE),
    "pytest bench/ --gate": (*TINY, *ONE, "--baseline=FILE"),
    "pytest bench/ tests/accuracy --model mypackage.nets:make --weights best.pt --images data/test/images --masks "
    "data/test/masks --calibration-images data/train/images": ("--samples=2", *ONE, "--precisions=fp32,int8"),
    "pytest bench/ --model exported.onnx --images data/test/images": ("--samples=2", *ONE),
    "pytest bench/test_stream.py --samples 10000": (*TINY, *ONE, "--samples=20"),
    "pytest bench/test_stream.py --stream-source png --roofline": (*TINY, *ONE),
    "python -m bench stream --images data/test/images --out masks --backend openvino --precision int8 --batch-size 4": (
        "--model=mypackage.nets:make",
        "--weights=best.pt",
    ),
    "python -m bench sweep --json sweep.json --plot sweep.svg": (
        "--batch-sizes=1,2", "--backends=openvino", "--precisions=fp32", "--image-size=64", "--seconds=0.05",
    ),
    "python -m bench variants --backend openvino": ("--variants", "float-last", "--turns=2", "--image-size=64"),
    "python -m bench gate benchmark.json": (),
    "python -m bench gate ci-results/run.json --annotate github": (),
    "python -m bench compare A.json B.json": (),
    "python -m bench faults": (),
    "python -m bench selftest": ("--trials=1",),
    "python -m bench trace --out fixtures/traces/NAME.json": (
        "--runs=1", "--passes=1", "--seconds=0.05", "--image-size=64", "--precisions=fp32", "--batch-sizes=1",
        "--exclude=torch_compile,onnxruntime,torch",
    ),
    "python -m bench report benchmark.json --out report.html": (),
    "python -m bench roofline run.json": (),
    'python -m bench baseline accept run1.json run2.json run3.json --reason "..."': (),
    'python -m bench baseline waive openvino-int8-b4 --limit 0.1 --expires 2030-12-31 --reason "..." '
    "--baseline FILE": (),
    "python -m bench baseline pin openvino-int8-b4 --baseline FILE": (),
    "python -m bench baseline drop openvino-int8-b4 --baseline FILE": (),
    "python -m bench baseline show --baseline FILE": (),
    "python -m models.train --images data/train/images --masks data/train/masks --out mine.safetensors": (
        "--steps=2", "--batch-size=1", "--crop=32",
    ),
}  # fmt: skip
"""Commands that are run here, each with the options that make it small: of two of a kind the last one holds."""


@dataclass(frozen=True)
class Place:
    """A folder in which the files that the documents name exist."""

    desk: Desk

    def run(self, command: str, *more: str) -> int:
        """Run a command in this process, as from the repository's root but for the folder, and return its status."""
        words = [*shlex.split(command), *more]
        if words[0] == "pytest":
            at_root = [str(ROOT / word) if word.startswith(("bench/", "tests/")) else word for word in words[1:]]
            session = self.desk.run(*at_root, *QUICK)
            sys.stdout.write(session.text)  # what pytest shows where the status is another
            return session.status
        with contextlib.ExitStack() as stack:
            stack.enter_context(pytest.MonkeyPatch.context()).chdir(self.desk.folder)
            own = [*ON_CPU, f"--cache-dir={self.desk.cache}"]
            stack.enter_context(quick())
            if words[2] == "models.train":
                return models.train.main([*words[3:], *ON_CPU])
            return main([*words[3:], *(own if words[3] in {"stream", "sweep", "variants", "trace"} else [])])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("desk")
    desk = Desk(folder)
    (folder / "mypackage").mkdir()
    (folder / "mypackage" / "nets.py").write_text(FACTORY)
    torch.save(trained().state_dict(), folder / "best.pt")
    models.graphs.export(trained(), SIZE, folder / "exported.onnx")
    for part in ("test", "train"):
        for kind in ("images", "masks"):
            shutil.copytree(folder / kind, folder / "data" / part / kind)
    shutil.rmtree(folder / "masks")
    (folder / "fixtures" / "traces").mkdir(parents=True)
    (folder / "ci-results").mkdir()
    found = folder / "run.json"
    session = desk.run(
        str(ROOT / "bench"), *QUICK, *TINY, "--backends=openvino", "--precisions=fp32,int8", "--batch-sizes=4",
        "--roofline", f"--benchmark-json={found}",
    )  # fmt: skip
    assert session.status == 0, session.text
    for name in ("benchmark", "A", "B", "ci-results/run"):
        shutil.copy(found, folder / f"{name}.json")
    for number in (1, 2, 3):
        data = read(found)
        data["suite"]["measured"] = f"2030-01-0{number}T00:00:00+00:00"
        (folder / f"run{number}.json").write_text(json.dumps(sealed(data)))
    return Place(desk)


@pytest.fixture(autouse=True)
def elsewhere(place: Place, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the stored baselines of this machine out of it, and lay one where the documents say FILE."""
    folder = place.desk.folder / "fixtures" / "baselines"
    for module in (bench.commands.baseline, bench.commands.gate):
        monkeypatch.setattr(module, "FOLDER", folder)
    file = place.desk.folder / "FILE"
    if not file.exists():
        runs = " ".join(f"run{number}.json" for number in (1, 2, 3))
        assert place.run(f"python -m bench baseline accept {runs} --reason first --baseline FILE") == 0
        shutil.copy(file, place.desk.folder / "kept")
    shutil.copy(place.desk.folder / "kept", file)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


@pytest.fixture
def few_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the engines of `faults` to its own tests, which build them: here only its table is wanted."""
    monkeypatch.setattr(bench.commands.faults, "Workshop", lambda size, count: (size, count))
    caught = [Outcome(f"fault {number}", -0.1, ("Dice",)) for number in range(15)]
    monkeypatch.setattr(bench.commands.faults, "judged_faults", lambda workshop: iter(caught))
    monkeypatch.setattr(bench.commands.faults, "judged_rebuilds", lambda workshop: iter([Outcome("again", 0.0, ())]))


@pytest.mark.usefixtures("few_faults")
@pytest.mark.parametrize("command", RUN)
def test_command_does_what_it_says_and_exits_with_0(place: Place, command: str) -> None:
    assert place.run(command, *RUN[command]) == 0


def test_files_that_commands_write_are_what_they_are_named(place: Place, elsewhere: Path) -> None:
    for command, more in RUN.items():
        if any(word in command for word in ("bench stream", "bench report", "accept")):
            assert place.run(command, *more) == 0
    folder = place.desk.folder
    assert sorted(path.name for path in (folder / "masks").glob("*.png")) == ["a.png", "b.png", "c.png"]
    assert (folder / "report.html").read_text().startswith("<!doctype html>")
    (stored,) = elsewhere.glob("*.json")
    baseline = load_baseline(stored)
    assert baseline is not None
    assert {entry.case for entry in baseline.entries.values()} == set(read_run(folder / "run1.json").rows)


def test_shell_completes_after_the_lines_of_the_documents(tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    if shutil.which("register-python-argcomplete", path=path) is None:
        pytest.skip("argcomplete's register-python-argcomplete is neither beside this Python nor in PATH")
    script = tmp_path / "complete.sh"
    script.write_text(
        """
        eval "$(activate-global-python-argcomplete --dest=-)"
        eval "$(register-python-argcomplete pytest)"
        COMP_TYPE=9 COMP_LINE="python -m bench ga" COMP_POINT=18 COMP_WORDS=(python -m bench ga) COMP_CWORD=3
        _python_argcomplete_global python ga bench; echo "${COMPREPLY[@]}"
        COMP_LINE="pytest --gate-b" COMP_POINT=15 COMP_WORDS=(pytest --gate-b) COMP_CWORD=1
        _python_argcomplete pytest --gate-b pytest; echo "${COMPREPLY[@]}"
        """
    )
    answer = subprocess.run(
        ["/bin/bash", script], cwd=ROOT, env={**os.environ, "PATH": path}, check=True, capture_output=True, text=True
    )
    assert answer.stdout.split() == ["gate", "--gate-budget"]
