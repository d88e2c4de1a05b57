"""Whatever changes what a factory's network computes changes its digest; comments, layout and processes do not."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch

from models.network import MODELS, WEIGHTS_FOLDER, ModelError, load_network

if TYPE_CHECKING:
    from pathlib import Path

HELPERS = """
import torch

GAIN = 2.0

def brightened(x):
    return x * GAIN

class Base(torch.nn.Module):
    def ended(self, x):
        return x + 1
"""
NETWORK = """
import functools
import logging
import random
import torch
from torch import nn
from PACKAGE import helpers
from PACKAGE.helpers import Base, brightened

SLOPE = 0.25
SHIFT = 0.75

def scaled(by):
    def inner(x):
        return x * by
    return inner

class Net(Base):
    rate = 0.5

    def __init__(self, **settings):
        super().__init__()
        for name, value in settings.items():
            setattr(self, name, value)
        self.last = nn.Conv2d(2, 2, 1)
        self.log, self.luck = logging.getLogger("odd"), random.Random()

    def forward(self, x, shift=SHIFT):
        maps = torch.where(x > 0, x, x * SLOPE) + shift + helpers.GAIN
        return self.ended(self.after(self.last(self.first(brightened(maps)))))

def make():
    net = Net(
        first=nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, dilation=1), nn.LeakyReLU(0.01)),
        power=3,
        after=scaled(4.0),
        **{"before": lambda x: x - 0.125},
        part=functools.partial(torch.clamp, max=9.0),
        sizes={"deep": [8, 16]},
        kinds={"edge", "centre", "corner", "side"},
    )
    net.register_buffer("mean", torch.tensor([1.5]), persistent=False)
    net.first.register_forward_hook(scaled(1.25))
    return net
"""
CHANGES = {
    "constant of the module": ("SLOPE = 0.25", "SLOPE = 0.5"),
    "constant of another module": ("GAIN = 2.0", "GAIN = 3.0"),
    "helper function": ("return x * GAIN", "return x + GAIN"),
    "base class": ("return x + 1", "return x + 2"),
    "dilation": ("dilation=1", "dilation=2"),
    "slope of a layer": ("LeakyReLU(0.01)", "LeakyReLU(0.02)"),
    "buffer that no state dict holds": ("tensor([1.5])", "tensor([1.6])"),
    "attribute": ("power=3", "power=4"),
    "attribute of the class": ("rate = 0.5", "rate = 0.6"),
    "what a function closes over": ("scaled(4.0)", "scaled(5.0)"),
    "lambda": ("x - 0.125", "x - 0.25"),
    "partial": ("max=9.0", "max=8.0"),
    "nested attribute": ("[8, 16]", "[8, 32]"),
    "default of an argument": ("SHIFT = 0.75", "SHIFT = 0.5"),
    "member of a set": ('"corner"', '"top"'),
    "hook": ("scaled(1.25)", "scaled(1.5)"),
    "code of forward": ("torch.where(x > 0", "torch.where(x < 0"),
    "kind of a layer": ("nn.LeakyReLU(0.01)", "nn.ELU(0.01)"),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def digest(folder: Path, package: str, change: tuple[str, str] = ("", "")) -> str:
    """Return the digest of the network in a package of its own, with one text in place of another."""
    place = folder / package
    place.mkdir()
    for name, text in (("helpers", HELPERS), ("network", NETWORK.replace("PACKAGE", package))):
        (place / f"{name}.py").write_text(text.replace(*change) if change[0] else text)
    importlib.invalidate_caches()
    network = load_network(f"{package}.network:make")
    for name in ("network", "helpers", ""):
        sys.modules.pop(f"{package}.{name}".rstrip("."))
    return network.digest


def before_and_after(change: tuple[str, str], folder: Path) -> tuple[str, str]:
    """Return the digests before and after a change, of packages of one name."""
    found = []
    for each in (("", ""), change):
        found.append(digest(folder, "anets", each))
        shutil.rmtree(folder / "anets")
    return found[0], found[1]


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_of_what_is_computed_is_another_network(folder: Path, change: tuple[str, str]) -> None:
    assert change[0] in HELPERS + NETWORK
    before, after = before_and_after(change, folder)
    assert before != after


@pytest.mark.parametrize(
    "change", [("rate = 0.5", "rate  =  0.5  # why"), ("def make():", "def odd():\n    pass\n\ndef make():")]
)
def test_comments_layout_and_code_that_is_not_used_change_nothing(folder: Path, change: tuple[str, str]) -> None:
    before, after = before_and_after(change, folder)
    assert before == after


def test_the_digest_is_the_same_in_every_process(folder: Path) -> None:
    here = digest(folder, "anets")
    code = "from models.network import load_network; print(load_network('anets.network:make').digest)"
    root = str(importlib.import_module("models").__path__[0]).removesuffix("/models")
    for seed in ("1", "2"):
        environment = {"PYTHONPATH": root, "PYTHONHASHSEED": seed, "PATH": ""}
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=folder
        )
        assert found.stdout.strip() == here


def test_the_suite_s_own_networks_keep_the_digests_of_the_stored_baselines() -> None:
    assert {name: load_network(name).digest[:12] for name in MODELS} == {
        "unet": "4f63141328d7",
        "unet-small": "28acfe5ab9aa",
    }


def test_a_changed_network_of_the_suite_s_is_another_one(folder: Path) -> None:
    text = "from torch import nn\nfrom models.unet import unet_small\n\ndef make():\n    net = unet_small()\n"
    (folder / "cnets.py").write_text(f"{text}    return net\n")
    (folder / "dnets.py").write_text(f"{text}    net.inc[2] = nn.LeakyReLU(0.2)\n    return net\n")
    weights = WEIGHTS_FOLDER / "unet-small.safetensors"
    assert load_network("cnets:make", weights).digest == load_network("unet-small").digest
    assert load_network("dnets:make", weights).digest != load_network("unet-small").digest


def test_a_scripted_module_is_refused(folder: Path) -> None:
    (folder / "bnets.py").write_text(
        "import torch\n\ndef make():\n    return torch.jit.script(torch.nn.Conv2d(1, 2, 1))\n"
    )
    with pytest.raises(ModelError, match="returned a RecursiveScriptModule, which backends cannot change: return the"):
        load_network("bnets:make")


def test_a_package_that_the_suite_s_own_hides_is_refused(folder: Path) -> None:
    (folder / "models").mkdir()
    (folder / "models" / "unet.py").write_text("")
    with pytest.raises(ModelError, match=r"models is called like this suite's own models, which hides it: rename it$"):
        load_network("models.unet:UNet")
    (folder / "tests.py").write_text("")
    with pytest.raises(ModelError, match=r"tests\.py is called like this suite's own tests"):
        load_network("tests:make")


def test_the_suite_s_own_factories_can_be_named_from_anywhere(folder: Path) -> None:
    assert folder.is_dir()
    assert isinstance(load_network("models.unet:unet_small").module(), torch.nn.Module)
