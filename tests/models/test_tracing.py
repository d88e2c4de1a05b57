"""What PyTorch's exporter has no ONNX for ends in one error, without its dump of the network."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch
from torch import nn

from bench.__main__ import main
from bench.cache import Cache, CacheError
from models.graphs import GraphError, export
from models.unet import UNet

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

SIZE = (64, 64)


def pooled() -> nn.Module:
    """Return a network that averages over places that overlap, as a PSPNet does at most sizes."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(3), nn.Conv2d(1, 2, 1), nn.Upsample(SIZE))


def test_what_cannot_be_exported_is_named_in_one_line_and_nothing_is_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(GraphError) as caught:
        export(pooled(), SIZE, tmp_path / "fp32.onnx")
    (line,) = str(caught.value).splitlines()
    assert re.match(r"PyTorch cannot export Sequential as ONNX for images of 64x64 \(.*adaptive_avg_pool2d", line)
    assert line.endswith("or give --model an ONNX file that another exporter made")
    assert capfd.readouterr().out == ""
    print("as before")  # noqa: T201 - what the exporter's block keeps silent is loud after it
    assert capfd.readouterr().out == "as before\n"


def test_full_disk_is_told_of_the_cache_and_not_of_the_network(tmp_path: Path) -> None:
    def fill(folder: Path) -> None:
        (folder / "model.onnx").symlink_to("/dev/full")
        export(UNet(4).eval(), SIZE, folder / "model.onnx")

    cache = Cache(tmp_path, lambda _: None)
    with pytest.raises(CacheError, match=r"the cache cannot be written \(No space left on device\); make room"):
        cache.entry("graph", "unet-fp32", {}, fill)
    assert [path.suffix for path in (tmp_path / "graph").iterdir()] == [".lock"]


@pytest.mark.parametrize("command", [["variants"], ["ranges"], ["sweep", "--json", "sweep.json"]])
def test_commands_end_with_that_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    on_cpu = [] if command == ["ranges"] else ["--device", "cpu"]
    model = ["--model", f"{__name__}:pooled", "--image-size", "64", "--cache-dir", str(tmp_path)]
    given = ["--backend", "openvino"] if command == ["variants"] else []
    assert main([*command, *given, *on_cpu, *model]) == 2
    assert "PyTorch cannot export Sequential as ONNX" in capsys.readouterr().err.splitlines()[-1]


class Branching(nn.Module):
    """Decides by what is in its maps, after a layer of PyTorch's that decides by their size."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, 2, 1), nn.GroupNorm(1, 2))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits [B, 2, H, W]."""
        maps: Tensor = self.layers(image)
        return maps + 1 if maps.sum() > 0 else maps


def test_pytorch_s_own_branches_are_no_warning_and_the_module_s_are(tmp_path: Path) -> None:
    with pytest.warns(torch.jit.TracerWarning) as told:  # type: ignore[attr-defined] # torch leaves it unexported
        export(Branching().eval(), SIZE, tmp_path / "fp32.onnx")
    assert [warning.filename for warning in told] == [__file__]
