"""The training command repeats bit for bit, keeps out what it scores on, and writes whole files or says why not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors
import torch
from PIL import Image

from models import train
from models.images import ImageSet, builtin
from models.network import load_network

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn


@pytest.fixture
def folders(tmp_path: Path, sections: ImageSet) -> list[str]:
    assert sections.masks is not None
    for name, arrays in (("images", sections.images), ("masks", sections.masks)):
        (tmp_path / name).mkdir()
        for index, array in enumerate(arrays):
            Image.fromarray(array).save(tmp_path / name / f"{index}.png")
    return ["--images", str(tmp_path / "images"), "--masks", str(tmp_path / "masks"), "--device", "cpu"]


QUICK = ["--steps", "3", "--batch-size", "2", "--crop", "32"]


@pytest.mark.usefixtures("one_thread")
def test_command_trains_on_a_folder_and_writes_weights_that_load(
    tmp_path: Path, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "w.safetensors"
    assert train.main([*folders, *QUICK, "--out", str(out), "--half-storage"]) == 0
    text = capsys.readouterr().out
    assert "on 3 images" in text
    assert "step 3/3  loss" in text
    assert "validation Dice" in text
    assert "held-out" not in text
    assert list(out.parent.iterdir()) == [out]
    with safetensors.safe_open(out, "pt") as file:
        metadata = file.metadata()
        assert file.get_tensor("outc.weight").dtype == torch.float16
    assert set(metadata) == {"command", "seed", "steps", "validation_dice", "torch"}
    assert metadata["command"].startswith("python -m models.train --images")
    assert load_network("unet-small", out).parameters == 1_080_658


@pytest.mark.usefixtures("one_thread")
def test_command_repeats_bit_for_bit(tmp_path: Path, folders: list[str]) -> None:
    files = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for file in files:
        assert train.main([*folders, *QUICK, "--out", str(file)]) == 0
    first, second = (load_network("unet-small", file).digest for file in files)
    assert first == second


def test_built_in_training_never_sees_the_held_out_split_before_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []

    def small(split: str) -> ImageSet:
        asked.append(split)
        return builtin(split, (64, 64), 10)

    def fit_after_train_only(module: nn.Module, data: ImageSet, *_: object) -> None:
        assert asked == ["train"]
        assert len(data.images) == 9
        module.eval()

    monkeypatch.setattr("models.train.builtin", small)
    monkeypatch.setattr("models.train.fit", fit_after_train_only)
    monkeypatch.setattr("models.train.score", lambda _module, data: np.full((len(data.images), 2), 0.5))
    assert train.main(["--out", str(tmp_path / "w.safetensors")]) == 0
    assert asked == ["train", "held-out"]
    assert "held-out Dice 0.5000" in capsys.readouterr().out


def test_interrupted_training_writes_nothing(
    tmp_path: Path, folders: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("models.fit.loss", interrupt)
    out = tmp_path / "new" / "w.safetensors"
    assert train.main([*folders, *QUICK, "--out", str(out)]) == 130
    assert "interrupted: no weights were written" in capsys.readouterr().err
    assert not list(out.parent.iterdir())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--lr", "1e6"], "training diverged (NaN or infinite logits on "),
        (["--crop", "16", "--batch-size", "1"], "one crop of 16 pixels a step leaves batch norm a single value"),
    ],
)
def test_training_that_comes_to_nothing_is_one_error_and_writes_nothing(
    words: list[str], text: str, tmp_path: Path, folders: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "w.safetensors"
    assert train.main([*folders, *QUICK, *words, "--out", str(out)]) == 2
    assert capsys.readouterr().err.startswith(f"error: {text}")
    assert not list(out.parent.iterdir())


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--images", "gone"], "--images and --masks go together"),
        (["--images", "gone", "--masks", "gone"], "gone: there is no such folder"),
        (["--val-images", "gone"], "--val-images and --val-masks go together"),
        (["--out", "."], "--out .: this is a folder"),
        (["--lr", "0"], "--lr 0.0: the learning rate must be above 0"),
        (
            ["--crop", "40"],
            "the U-Net halves its input 4 times, so height and width must be multiples of 16: got 40x40",
        ),
    ],
)
def test_wrong_input_is_one_error_line_and_exit_status_two(
    words: list[str],
    text: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert train.main(["--out", "w.safetensors", *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {text}")
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_asked_for_but_absent_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert train.main(["--device", "cuda"]) == 2
    assert "--device cuda: PyTorch finds no CUDA GPU here" in capsys.readouterr().err
