"""A sweep's file says what it is of, is whole after every case, and takes only its like."""

from __future__ import annotations

import warnings
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
import torch

from bench import outputs, sweep_file, sweep_lines
from bench.__main__ import main
from bench.backend import OutOfMemoryError
from bench.roofline.ceilings import ceilings
from tests.bench.networks import quick, trained
from tests.fixtures.sessions import FACTORY, read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Sweeper = Callable[..., int]


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweeper:
    """Sweep a tiny network; of two of a kind the last argument holds."""
    (tmp_path / "tinynet.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    # A network as small as this may pass ceilings that were measured while other tests took the cores.
    monkeypatch.setattr(
        "bench.roofline.report.ceilings", lambda *of: {name: 100 * value for name, value in ceilings(*of).items()}
    )

    def run(*arguments: str) -> int:
        with quick():
            return main([
                "sweep", "--batch-sizes=2,1", "--backends=openvino", "--precisions=fp32", "--model=tinynet:make",
                "--image-size=64", "--seconds=0.01", "--device=cpu", f"--cache-dir={tmp_path / 'cache'}",
                "--json=sweep.json", *arguments,
            ])  # fmt: skip

    return run


def test_every_batch_size_is_a_point_and_the_file_says_what_it_is_of(
    sweep: Sweeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("--precisions=tf32,fp32", "--plot=sweep.svg") == 0
    found = read(tmp_path / "sweep.json")
    assert list(found["sweep"]) == ["openvino-fp32"]
    points = found["sweep"]["openvino-fp32"]
    assert [point["batch_size"] for point in points] == [1, 2]
    assert all(point["fps"] > 0 and point["share_of_ceiling"] > 0 for point in points)
    assert set(found["roofline"]["cases"]) == {"openvino-fp32-b1", "openvino-fp32-b2"}
    assert found["model"]["name"] == "tinynet:make"
    assert len(found["model"]["digest"]) == len(found["model"]["weights_digest"]) == 64
    assert found["image_size"] == [64, 64]
    (session,) = found["sessions"]
    assert session["cases"] == ["openvino-fp32-b1", "openvino-fp32-b2"]
    assert session["versions"]["openvino"]["openvino"].startswith(session["runtimes"]["openvino"])
    assert session["ceilings"]["fp32"] > 0
    drawn = (tmp_path / "sweep.svg").read_text()
    assert ET.fromstring(drawn).tag == "{http://www.w3.org/2000/svg}svg"  # noqa: S314 - just written
    assert "openvino-fp32" in drawn
    assert "tinynet:make, 64x64" in drawn
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("tinynet:make, 64x64, ")
    assert out[1].split() == ["case", "FPS", "of", "ceiling", "bound", "by", "launch", "gaps", "MiB"]
    assert [line.split()[0] for line in out[2:]] == ["openvino-fp32-b1", "openvino-fp32-b2"]


def test_onnx_graph_is_swept_by_what_reads_it_at_the_batch_that_it_fixes(
    sweep: Sweeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(trained(), (torch.zeros(2, 1, 64, 64),), str(tmp_path / "pairs.onnx"), dynamo=False)
    model = f"--model={tmp_path / 'pairs.onnx'}"
    assert sweep(model, "--backends=torch,openvino") == 0
    found = read(tmp_path / "sweep.json")
    assert {line: [point["batch_size"] for point in points] for line, points in found["sweep"].items()} == {
        "openvino-fp32": [2]
    }
    assert (
        "torch builds from a PyTorch module, and --model gave the ONNX graph pairs.onnx" in found["ended"]["torch-fp32"]
    )
    assert "the ONNX graph pairs takes batches of 2 only: no others are measured" in capsys.readouterr().err
    assert sweep(model, "--batch-sizes=1,4") == 2
    assert "--batch-sizes 1,4: the ONNX graph pairs takes batches of 2 only" in capsys.readouterr().err
    assert sweep(model, "--image-size=32") == 2
    assert "the graph takes 64x64 images only: give such, or --image-size 64\n" in capsys.readouterr().err


def test_stop_loses_nothing_that_was_measured_and_append_goes_on(
    sweep: Sweeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = sweep_lines._point
    asked: list[str] = []

    def interrupted(source: Any, case: Any, *rest: Any) -> Any:
        asked.append(case.id)
        if len(asked) == 2:
            # What a kill at this very moment would leave.
            assert list(read(tmp_path / "sweep.json")["roofline"]["cases"]) == ["openvino-fp32-b1"]
            raise KeyboardInterrupt
        return real(source, case, *rest)

    monkeypatch.setattr(sweep_lines, "_point", interrupted)
    assert sweep() == 130
    said = capsys.readouterr()
    assert "sweep.json holds what was measured; with --append the same command goes on" in said.err
    assert "openvino-fp32-b1 " in said.out
    first = read(tmp_path / "sweep.json")["sweep"]["openvino-fp32"]
    assert sweep("--append") == 0
    assert asked == ["openvino-fp32-b1", "openvino-fp32-b2", "openvino-fp32-b2"]
    found = read(tmp_path / "sweep.json")
    assert found["sweep"]["openvino-fp32"][0] == first[0]
    assert [each["cases"] for each in found["sessions"]] == [["openvino-fp32-b1"], ["openvino-fp32-b2"]]
    assert set(found["roofline"]["network"]["least_bytes"]) == {"1", "2"}
    assert sweep("--append") == 0
    assert "holds every case already" in capsys.readouterr().err
    assert read(tmp_path / "sweep.json") == found


def test_case_that_was_being_saved_at_the_stop_is_in_the_file(
    sweep: Sweeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = outputs.write_whole
    stopped: list[str] = []

    def interrupted(path: Path, content: bytes) -> None:
        if not stopped:
            stopped.append(path.name)
            raise KeyboardInterrupt
        write(path, content)

    monkeypatch.setattr(sweep_file, "write_whole", interrupted)
    assert sweep() == 130
    assert [point["batch_size"] for point in read(tmp_path / "sweep.json")["sweep"]["openvino-fp32"]] == [1]


def test_plot_never_replaces_the_figures(sweep: Sweeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sweep("--batch-sizes=1", "--plot=./sweep.json") == 2
    assert not (tmp_path / "sweep.json").exists()
    assert sweep("--batch-sizes=1") == 0
    before = (tmp_path / "sweep.json").read_bytes()
    capsys.readouterr()
    assert main(["sweep", "--from=sweep.json", "--plot=sweep.json"]) == 2
    assert capsys.readouterr().err == (
        "cannot sweep: --plot sweep.json: the figures are in this file; give the plot another name\n"
    )
    assert (tmp_path / "sweep.json").read_bytes() == before


def test_append_adds_lines_and_refuses_another_model_or_size(
    sweep: Sweeper, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sweep("--batch-sizes=1") == 0
    assert sweep("--batch-sizes=1", "--backends=torch", "--append") == 0
    found = read(tmp_path / "sweep.json")
    assert list(found["sweep"]) == ["openvino-fp32", "torch-fp32"]
    capsys.readouterr()
    for other, told in (("--image-size=32", "image size 64x64, not 32x32"), ("--model=unet-small", "model tinynet:")):
        assert sweep(other, "--append") == 2
        assert told in capsys.readouterr().err
    assert read(tmp_path / "sweep.json") == found


def test_line_that_ends_early_says_why_in_the_file_and_the_others_go_on(
    sweep: Sweeper, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = sweep_lines._point

    def small(source: Any, case: Any, *rest: Any) -> Any:
        if case.id == "openvino-fp32-b2":
            msg = "out of memory at batch 2 (needs about 90.0 GiB)\nthe device's own words\nand more of them"
            raise OutOfMemoryError(msg)
        return real(source, case, *rest)

    monkeypatch.setattr(sweep_lines, "_point", small)
    assert sweep("--backends=openvino,torch,tensorrt") == 0
    found = read(tmp_path / "sweep.json")
    assert {line: len(points) for line, points in found["sweep"].items()} == {"openvino-fp32": 1, "torch-fp32": 2}
    told = "from batch 2 on: out of memory at batch 2 (needs about 90.0 GiB); the device's own words"
    assert found["ended"]["openvino-fp32"] == told
    assert found["ended"]["tensorrt-fp32"].startswith("from batch 1 on: ")
    assert "- openvino-fp32: from batch 2 on: out of memory" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argument", "told"),
    [
        ("--backends=torch,onyx", "--backends torch,onyx: no onyx; there are "),
        ("--precisions=int4", "--precisions int4: no int4; there are fp32, "),
        ("--backends=tensorrt", "nothing could be measured: tensorrt-fp32: from batch 1 on: "),
        ("--precisions=tf32", "none of --backends openvino offers any of --precisions tf32"),
        ("--weights=none.safetensors", "none.safetensors"),
    ],
)
def test_what_cannot_be_swept_is_one_error_and_no_file(
    sweep: Sweeper, tmp_path: Path, capsys: pytest.CaptureFixture[str], argument: str, told: str
) -> None:
    assert sweep(argument) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cannot sweep: ")]
    assert told in line
    assert not (tmp_path / "sweep.json").exists()


@pytest.mark.parametrize("name", ["sweep.json", "sweep.svg"])
def test_file_for_which_there_is_no_room_is_named(
    sweep: Sweeper, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    write = outputs.write_whole

    def full(path: Path, content: bytes) -> None:
        if path.name == name:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(sweep_file, "write_whole", full)
    assert sweep("--batch-sizes=1", "--plot=sweep.svg") == 2
    assert f"cannot sweep: {name}: it cannot be written (No space left on device)\n" in capsys.readouterr().err
