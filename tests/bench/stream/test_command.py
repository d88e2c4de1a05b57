"""`python -m bench stream` writes whole masks, goes on where it stopped, and never mixes two engines' masks."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from bench.__main__ import main
from bench.case import Case
from bench.engines import open_engine
from bench.fidelity import predict
from bench.report import WIDTH
from bench.stream.writer import MaskWriter, only_writer
from models.images import from_folder
from models.weights import save_weights
from tests.bench.networks import one_core, quick, sections, tiny_source, trained
from tests.fixtures.sessions import FACTORY, read

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNT = 7


class Place:
    """A folder to run the command from, with a tiny network and images."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images, self.out = folder, folder / "images", folder / "out"
        self.cache, self.calibration = folder / "cache", folder / "calibration"
        self.images.mkdir()
        self.calibration.mkdir()
        (folder / "tinynet.py").write_text(FACTORY)
        save_weights(trained(), folder / "tiny.safetensors")
        for name, image in zip("abcdefg", sections("held-out", COUNT).images, strict=True):
            Image.fromarray(image).save(self.images / f"{name}.png")
        Image.fromarray(sections("calibration", 1).images[0]).save(self.calibration / "a.png")

    def run(self, *arguments: str, precision: str = "fp32") -> int:
        """Run the command on one thread."""
        with quick(), one_core(), pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            return main([
                "stream", f"--images={self.images}", f"--out={self.out}", "--backend=openvino", "--batch-size=1",
                f"--precision={precision}", "--model=tinynet:make", f"--weights={self.folder / 'tiny.safetensors'}",
                f"--calibration-images={self.calibration}", f"--cache-dir={self.cache}", "--device=cpu", *arguments,
            ])  # fmt: skip

    def masks(self) -> dict[str, NDArray[np.uint8]]:
        """Return the masks written."""
        return {path.stem: np.asarray(Image.open(path)) for path in sorted(self.out.glob("*.png"))}

    def parts(self) -> list[Path]:
        """Return what is not whole."""
        return list(self.out.glob(".*.part"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def wanted(place: Place) -> NDArray[np.uint8]:
    """Return the masks of the accuracy path."""
    images = from_folder(place.images)
    with quick(), open_engine(tiny_source(place.cache, calibration=images), Case("openvino", "fp32", 1)) as opened:
        return predict(opened.engine, images, 1)[0]


def test_every_image_gets_the_accuracy_paths_mask(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    figures = place.folder / "figures.json"
    assert place.run(f"--json={figures}", "--plain") == 0
    masks = place.masks()
    assert list(masks) == list("abcdefg")
    np.testing.assert_array_equal(np.stack(list(masks.values())), wanted(place) * np.uint8(255))
    assert place.parts() == []
    stream = read(figures)["stream"]
    assert (stream["case"], stream["done"], stream["partial"]) == ("openvino-fp32-b1", COUNT, False)
    assert stream["plain"]["samples"] == COUNT
    text = capsys.readouterr().out
    assert "streams: images in, masks out" in text
    assert text.count("\nopenvino-fp32-b1 ") == 2, "a case is named whole, whatever the terminal's width"
    assert place.run() == 0
    assert "all 7 masks are there already" in capsys.readouterr().out


def test_interrupted_stream_goes_on_where_it_stopped(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take = MaskWriter.__call__

    def interrupt(writer: MaskWriter, index: int, name: str, mask: NDArray[np.uint8]) -> None:
        take(writer, index, name, mask)
        if index == 2:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(MaskWriter, "__call__", interrupt)
        assert place.run() == 130
    first = {path.name: path.stat().st_mtime_ns for path in place.out.glob("*.png")}
    assert list(place.masks()) == list("abc")
    assert "interrupted" in capsys.readouterr().out
    (place.out / ".c.png.1.part").write_bytes(b"half a mask")
    assert place.run() == 0
    assert "3 masks are there already, 4 are left" in capsys.readouterr().out
    np.testing.assert_array_equal(np.stack(list(place.masks().values())), wanted(place) * np.uint8(255))
    assert {name: (place.out / name).stat().st_mtime_ns for name in first} == first
    assert place.parts() == []


def test_images_that_changed_since_get_new_masks(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run() == 0
    before = {path.name: path.stat().st_mtime_ns for path in place.out.glob("*.png")}
    capsys.readouterr()
    (place.images / "b.png").write_bytes((place.images / "a.png").read_bytes())
    (place.images / "d.png").write_bytes(b"no picture")
    assert place.run() == 1
    told = capsys.readouterr().out
    assert "5 masks are there already, 2 are left" in told
    assert "2 masks are of images that were replaced or touched since" in told
    assert list(place.masks()) == list("abcefg")
    np.testing.assert_array_equal(place.masks()["b"], place.masks()["a"])
    kept = {path.name for path in place.out.glob("*.png") if path.stat().st_mtime_ns == before[path.name]}
    assert kept == {f"{name}.png" for name in "acefg"}
    Image.fromarray(sections("held-out", COUNT).images[3]).save(place.images / "d.png")
    assert place.run() == 0
    assert "all 7 masks" not in capsys.readouterr().out
    assert place.run() == 0
    assert "all 7 masks are there already" in capsys.readouterr().out


def test_bad_image_is_left_out_by_name_and_shows_in_the_status(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    (place.images / "d.png").write_bytes((place.images / "d.png").read_bytes()[:300])
    assert place.run() == 1
    assert list(place.masks()) == list("abcefg")
    assert "left out" in (text := " ".join(capsys.readouterr().out.split()))
    assert "d.png" in text
    place.out = place.folder / "other"
    assert place.run("--on-bad-image=stop") == 2
    assert "d.png: this file cannot be read" in capsys.readouterr().err
    assert list(place.masks()) == list("abc")


def test_image_whose_size_no_network_takes_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    Image.fromarray(np.zeros((20, 32), np.uint8)).save(place.images / "a.png")
    assert place.run() == 2
    assert "images/a.png: the U-Net halves its input 4 times" in capsys.readouterr().err


def test_masks_of_two_engines_are_never_mixed(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run() == 0
    before = {path: path.read_bytes() for path in place.out.iterdir()}
    assert place.run(precision="int8") == 2
    assert "were made by another network, engine or size" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.out.iterdir()} == before


def test_images_of_another_folder_are_not_taken_for_done_where_names_are_the_same(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.run() == 0
    before = {path: path.read_bytes() for path in place.out.iterdir()}
    monkeypatch.setattr(place, "images", place.calibration)
    assert place.run() == 2
    assert "or of other images" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in place.out.iterdir()} == before


def test_figures_never_replace_the_record_of_the_masks(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.run() == 0
    assert place.run(f"--json={place.out}/../out/stream.json") == 2
    assert "stream.json: this file says what made the masks beside it" in capsys.readouterr().err
    assert place.run() == 0


def test_figures_that_cannot_be_written_are_one_error_behind_the_masks(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = place.folder / "figures.json"
    write = Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        if path.name.startswith(f".{figures.name}"):
            write(path, content[:10])
            raise OSError(28, "No space left on device")
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert place.run(f"--json={figures}") == 2
    said = capsys.readouterr()
    assert f"{figures}: it cannot be written (No space left on device); the masks are there" in said.err
    assert max(map(len, said.out.splitlines())) <= WIDTH
    assert [line.split()[0] for line in said.out.splitlines()].count("openvino-fp32-b1") == 2
    assert list(place.masks()) == list("abcdefg")
    assert not list(place.folder.glob("*figures.json*"))


def test_two_streams_never_write_to_one_folder_at_once(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    with only_writer(place.out):
        (place.out / ".a.png.1.part").write_bytes(b"half a mask, being written")
        assert place.run() == 2
        assert "out: another stream is writing there; wait for its end, or give another" in capsys.readouterr().err
        assert [path.name for path in place.parts()] == [".a.png.1.part"]
    assert place.run() == 0


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("--out=calibration", "it holds PNG files and no stream.json"),
        ("--out=images", "--out images: masks have the images' names, and would be taken for images"),
        ("--images=nowhere", "there is no such folder"),
        ("--precision=tf32", "OpenVINO runs"),
        ("--model=nothing.here:make", "cannot import"),
        ("--cache-dir=tinynet.py", "tinynet.py: the cache cannot be written (Not a directory)"),
    ],
)
def test_wrong_command_is_one_error_and_leaves_nothing(
    place: Place, capsys: pytest.CaptureFixture[str], fault: str, told: str
) -> None:
    before = sorted([*place.images.iterdir(), *place.calibration.iterdir()])
    assert place.run(fault) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("cannot stream: ")
    assert told in line
    assert sorted([*place.images.iterdir(), *place.calibration.iterdir()]) == before
    assert not place.out.exists()
