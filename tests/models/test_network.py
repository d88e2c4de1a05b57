"""`--model` and `--weights` give one identified network, or one sentence that says what is valid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from models.network import MODELS, ModelError, Network, load_network, untrained
from models.unet import UNet
from models.weights import WeightsError, digest, save_weights

if TYPE_CHECKING:
    from pathlib import Path

FACTORIES = """
import torch

class Tiny(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.only = torch.nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x):
        return self.only(x)

def tiny():
    return Tiny().double()

class Wrong(Tiny):
    def __init__(self, change):
        super().__init__()
        self.change = change

    def forward(self, x):
        return self.change(super().forward(x))

def nested():
    return Wrong(lambda logits: {"out": logits})

def halved():
    return Wrong(lambda logits: logits[:, :, ::2, ::2])

def flat():
    return Wrong(lambda logits: logits[:, 0])

def probable():
    return Wrong(lambda logits: torch.sigmoid(logits[:, 1:]))

class Counting(Tiny):
    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(tuple(x.shape))
        return super().forward(x)

def counting():
    return Counting()

def single():
    return torch.nn.Conv2d(1, 1, 1)

def coloured():
    return torch.nn.Conv2d(3, 2, 1)

def number():
    return 3

def broken():
    raise RuntimeError("no luck")
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "factories.py").write_text(FACTORIES)
    (tmp_path / "torn.py").write_text("tiny = dict(")
    (tmp_path / "needy.py").write_text("tiny = open('gone.bin')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(__import__("sys").modules, "factories", raising=False)
    return tmp_path


def test_named_model_loads_the_weights_given(tmp_path: Path) -> None:
    trained = untrained("unet-small", seed=5)
    save_weights(trained, tmp_path / "w.safetensors")
    network = load_network("unet-small", tmp_path / "w.safetensors")
    assert (network.name, network.weights_origin) == ("unet-small", str(tmp_path / "w.safetensors"))
    assert network.parameters == 1_080_658
    assert digest(network.module()) == digest(trained)


def test_named_model_takes_the_weights_beside_it_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.network.WEIGHTS_FOLDER", tmp_path)
    with pytest.raises(WeightsError, match=r"unet-small\.safetensors: the weights cannot be read"):
        load_network("unet-small")
    save_weights(untrained("unet-small"), tmp_path / "unet-small.safetensors")
    assert load_network("unet-small").weights_origin == "models/weights/unet-small.safetensors"


def test_each_module_is_fresh_fp32_in_eval_mode_on_the_cpu(folder: Path) -> None:
    network = load_network("factories:tiny")
    first, second = network.module(), network.module()
    assert not first.training
    weight = next(first.parameters())
    assert (weight.dtype, weight.device.type) == (torch.float32, "cpu")
    weight.data.zero_()
    assert next(second.parameters()).abs().sum() > 0
    assert digest(network.module()) == digest(second)
    assert folder.is_dir()


def test_factory_gives_the_same_network_each_time_and_leaves_the_random_state_alone(folder: Path) -> None:
    state = torch.get_rng_state()
    network = load_network("factories:tiny")
    assert load_network("factories:tiny").digest == network.digest
    assert torch.equal(torch.get_rng_state(), state)
    assert network.weights_origin == "initial weights of factories:tiny"
    assert (network.name, network.parameters) == ("factories:tiny", 20)
    save_weights(network.module(), folder / "w.safetensors")
    assert load_network("factories:tiny", folder / "w.safetensors").digest == network.digest


def test_digest_is_of_the_weights_and_the_code_not_of_names_comments_or_layout(folder: Path) -> None:
    save_weights(UNet(16), folder / "w.safetensors")
    save_weights(UNet(16), folder / "other.safetensors")
    (folder / "again.py").write_text("from models.unet import unet_small")
    (folder / "changed.py").write_text(FACTORIES.replace("self.only(x)", "-self.only(x)"))
    (folder / "unchanged.py").write_text(FACTORIES.replace("self.only(x)", "self.only( x )  # the same"))
    small = load_network("unet-small", folder / "w.safetensors").digest
    assert load_network("again:unet_small", folder / "w.safetensors").digest == small
    assert load_network("unet-small", folder / "other.safetensors").digest != small
    tiny = load_network("factories:tiny").digest
    assert load_network("unchanged:tiny").digest == tiny
    assert load_network("changed:tiny").digest != tiny


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("resnet", "no model 'resnet': give unet, unet-small, package.module:factory or FILE.onnx"),
        ("", "no model ''"),
        ("factories:", "no model 'factories:'"),
        ("nowhere.at_all:tiny", "cannot import nowhere.at_all"),
        (
            "factories:huge",
            "has no callable 'huge'; it has Counting, Tiny, Wrong, broken, coloured, counting, flat",
        ),
        ("factories:number", "the factory returned a int; it must return a torch.nn.Module"),
        ("factories:broken", "the factory failed with RuntimeError: no luck"),
    ],
)
def test_model_that_cannot_be_had_is_refused_with_what_is_valid(folder: Path, model: str, text: str) -> None:
    assert folder.is_dir()
    with pytest.raises(ModelError) as caught:
        load_network(model)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("factories:nested", "the module returned a dict; it must return logits [1, classes, 16, 32]"),
        ("factories:halved", "the module returned shape [1, 2, 8, 16]"),
        ("factories:flat", "the module returned shape [1, 16, 32]"),
        ("factories:probable", "the module returned values from 0 to 1 only: as probabilities of one class are"),
        ("factories:coloured", "the module failed with RuntimeError for a grey image, float32 [1, 1, 16, 32]: Given"),
    ],
)
def test_module_that_makes_no_logits_of_an_image_is_refused(folder: Path, model: str, text: str) -> None:
    assert folder.is_dir()
    for good in ("factories:tiny", "factories:single"):
        load_network(good).check((16, 32))
    with pytest.raises(ModelError) as caught:
        load_network(model).check((16, 32))
    assert text in str(caught.value)


def test_the_suite_s_own_networks_need_no_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Network, "module", lambda _: pytest.fail("it was run"))
    load_network("unet-small").check((512, 512))


def test_trying_a_module_leaves_nothing_behind_in_it(folder: Path) -> None:
    assert folder.is_dir()
    network = load_network("factories:counting")
    network.check((16, 32))
    assert network.module().seen == []


def test_every_named_model_is_made_by_its_factory_with_seeded_weights() -> None:
    assert tuple(MODELS) == ("unet", "unet-small")
    assert digest(untrained("unet-small", 1)) == digest(untrained("unet-small", 1))
    assert digest(untrained("unet-small", 1)) != digest(untrained("unet-small", 2))
