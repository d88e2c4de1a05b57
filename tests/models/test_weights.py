"""Weight files load whole or not at all, from every usual layout, and are written whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import safetensors
import torch

from models.unet import UNet
from models.weights import WeightsError, digest, load_weights, save_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def _module(seed: int, width: int = 2) -> UNet:
    torch.manual_seed(seed)
    module = UNet(width)
    for name, buffer in module.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return module


def test_saved_weights_load_back_bit_for_bit(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_weights(_module(1), path, metadata={"command": "here", "seed": "1"})
    other = _module(2)
    assert digest(other) != digest(_module(1))
    load_weights(other, path)
    assert digest(other) == digest(_module(1))
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"command": "here", "seed": "1"}
        assert not [key for key in file.keys() if "num_batches" in key]  # noqa: SIM118 - no mapping


def test_half_storage_halves_the_file_and_is_widened_on_loading(tmp_path: Path) -> None:
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_weights(_module(1), full)
    save_weights(_module(1), half, torch.float16)
    module = _module(2)
    load_weights(module, half)
    assert {value.dtype for value in module.parameters()} == {torch.float32}
    assert digest(module) == digest(_module(1).half().float())
    assert half.stat().st_size < 0.75 * full.stat().st_size


def test_whole_module_in_a_file_is_refused_with_what_to_save_instead(tmp_path: Path) -> None:
    torch.save(_module(1), tmp_path / "module.pt")
    with pytest.raises(WeightsError) as caught:
        load_weights(_module(2), tmp_path / "module.pt")
    told = "(Weights only load failed.); give what torch.save(module.state_dict(), FILE) wrote"
    assert str(caught.value).endswith(told)


def test_checkpoint_whose_every_tensor_was_halved_loads_batch_counters_too(tmp_path: Path) -> None:
    torch.save({key: value.half() for key, value in _module(1).state_dict().items()}, tmp_path / "half.pt")
    module = _module(2)
    load_weights(module, tmp_path / "half.pt")
    assert digest(module) == digest(_module(1).half().float())


LAYOUTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "plain": lambda state: state,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state},
    "model": lambda state: {"model": state, "optimizer": {"state": {}}},
    "nested": lambda state: {"model": {"state_dict": state}},
    "data parallel": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.{key}": value for key, value in state.items()},
    "both": lambda state: {"state_dict": {f"module._orig_mod.{key}": value for key, value in state.items()}},
    "lightning": lambda state: {"state_dict": {f"model.{key}": value for key, value in state.items()}},
    "tensors beside": lambda state: {"lr": torch.tensor(0.1), "state_dict": state},
    "tensors beside each level": lambda state: {
        "step": torch.tensor(1),
        "model": {"ema": torch.tensor(0.9), "state_dict": state},
    },
    "tensors beside data parallel": lambda state: {
        "lr": torch.tensor(0.1),
        "model": {f"module.{key}": value for key, value in state.items()},
    },
    "other dictionaries beside": lambda state: {**state, "model": {"depth": torch.tensor(4)}},
    "no counters": lambda state: {key: value for key, value in state.items() if "num_batches" not in key},
    "doubles": lambda state: {
        key: value.double() if value.is_floating_point() else value for key, value in state.items()
    },
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_checkpoint_of_every_usual_layout_loads(tmp_path: Path, layout: str) -> None:
    path = tmp_path / "w.pt"
    torch.save(LAYOUTS[layout](_module(1).state_dict()), path)
    module = _module(2)
    load_weights(module, path)
    assert digest(module) == digest(_module(1))


def test_mismatch_lists_every_kind_of_problem_and_loads_nothing(tmp_path: Path) -> None:
    state = _module(1).state_dict()
    state["surprise"] = state.pop("outc.bias")
    state["inc.0.weight"] = torch.zeros(3, 1, 3, 3)
    state["inc.1.weight"] = torch.zeros(2, dtype=torch.int64)
    torch.save(state, tmp_path / "w.pt")
    module = _module(2)
    with pytest.raises(WeightsError) as caught:
        load_weights(module, tmp_path / "w.pt")
    text = str(caught.value)
    assert "w.pt: the weights do not fit UNet" in text
    assert "1 missing keys: outc.bias" in text
    assert "1 unexpected keys: surprise" in text
    assert "1 wrong shapes: inc.0.weight (got [3, 1, 3, 3], expected [2, 1, 3, 3])" in text
    assert "1 wrong types: inc.1.weight (got torch.int64, expected torch.float32)" in text
    assert digest(module) == digest(_module(2))


def test_mismatch_is_told_of_the_state_dict_and_not_of_tensors_beside_it(tmp_path: Path) -> None:
    others = {f"blocks.{key}": value for key, value in _module(1).state_dict().items()}
    torch.save({"lr": torch.tensor(0.1), "state_dict": others, "model": {}}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"unexpected keys: blocks\."):
        load_weights(_module(2), tmp_path / "w.pt")


def test_long_lists_of_keys_are_cut(tmp_path: Path) -> None:
    save_weights(_module(1, width=4), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"wrong shapes: .* and [0-9]+ more"):
        load_weights(_module(1), tmp_path / "w.safetensors")


def _save_pickled_module(path: Path) -> None:
    torch.save({"model": _module(1)}, path)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda _: None, "the weights cannot be read"),
    "folder": (lambda path: path.mkdir(), "the weights cannot be read"),
    "empty": (lambda path: path.write_bytes(b""), "neither safetensors nor a checkpoint"),
    "text": (lambda path: path.write_text("these are no weights"), "neither safetensors nor a checkpoint"),
    "pickled module": (_save_pickled_module, "neither safetensors nor a checkpoint"),
    "list": (lambda path: torch.save([torch.zeros(1)], path), "holds a list, not a state dict"),
    "no tensors": (lambda path: torch.save({"epoch": 3}, path), "no state dict found .*top-level keys: epoch"),
}


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("name", BROKEN)
def test_unreadable_file_gets_one_sentence_that_names_it(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"w.{suffix}"
    make, text = BROKEN[name]
    make(path)
    with pytest.raises(WeightsError, match=text if suffix == "pt" else r"w\.safetensors: ") as caught:
        load_weights(_module(1), path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w.{suffix}"
    if suffix == "pt":
        torch.save(_module(1).state_dict(), path)
    else:
        save_weights(_module(1), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsError, match="neither safetensors nor a checkpoint"):
        load_weights(_module(1), path)


def test_safetensors_file_is_known_by_its_content_whatever_its_name(tmp_path: Path) -> None:
    save_weights(_module(1), tmp_path / "w.bin")
    module = _module(2)
    load_weights(module, tmp_path / "w.bin")
    assert digest(module) == digest(_module(1))


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_interrupted_save_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"old")

    def fail(_descriptor: int) -> None:
        raise failure

    monkeypatch.setattr("models.weights.os.fsync", fail)
    with pytest.raises(type(failure)):
        save_weights(_module(1), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("value", "dtype"), [(float("nan"), None), (1e6, torch.float16)])
def test_weights_that_are_or_become_no_numbers_are_not_written(
    tmp_path: Path, value: float, dtype: torch.dtype | None
) -> None:
    module = _module(1)
    module.get_parameter("outc.bias").data[0] = value
    with pytest.raises(WeightsError, match=r"not written, because outc\.bias is NaN or infinite"):
        save_weights(module, tmp_path / "w.safetensors", dtype)
    assert not list(tmp_path.iterdir())


def test_digest_depends_on_values_but_not_on_memory_layout_or_batch_counters() -> None:
    module, other = _module(1), _module(1)
    other.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    other.get_buffer("inc.1.num_batches_tracked").add_(5)
    assert digest(other) == digest(module)
    other.get_parameter("outc.bias").data[0] += 1e-6
    assert digest(other) != digest(module)
