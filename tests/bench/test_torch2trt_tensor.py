"""A conversion by torch2trt leaves `torch.Tensor` as it was, which PyTorch's exporter counts on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.documents import ROOT

CONVERTED = """
import torch
from torch import nn

from bench.backends._torch2trt_tensor import tensor_kept

class Own(torch.Tensor):
    def __getitem__(self, index):
        return "own"

def convert():
    # As torch2trt does around a conversion, and around one that fails.
    found = {name: getattr(torch.Tensor, name) for name in ("__getitem__", "__add__", "permute")}
    for name in found:
        setattr(torch.Tensor, name, lambda *_: None)
    assert torch.zeros(3)[0] is None
    for name, method in found.items():
        setattr(torch.Tensor, name, method)

before = dict(vars(torch.Tensor))
"""
ASKED = """
assert dict(vars(torch.Tensor)) == before
assert torch.tensor([torch.tensor(1), torch.tensor(2)]).tolist() == [1, 2]
assert torch.tensor([nn.Parameter(torch.tensor(1.0))]).tolist() == [1.0]
assert (torch.arange(5) + 1)[2:4].tolist() == [3, 4]
assert nn.Parameter(torch.arange(3.0))[1] == 1
assert torch.zeros(3).as_subclass(Own)[0] == "own"
print("as it was")
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    """Run it in a process of its own, which it may leave spoilt."""
    return subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("last", ["", "    raise ValueError\n"], ids=["whole", "failed"])
def test_after_a_conversion_tensors_are_no_sequences_and_index_as_before(last: str) -> None:
    block = "from contextlib import suppress\nwith suppress(ValueError), tensor_kept():\n    convert()\n"
    answer = run(CONVERTED + block + last + ASKED)
    assert answer.stdout == "as it was\n", answer.stderr


def test_without_it_the_process_is_spoilt() -> None:
    away = "convert()\nfor name in set(vars(torch.Tensor)) - set(before):\n    delattr(torch.Tensor, name)\n"
    assert "len() of a 0-d tensor" in run(CONVERTED + away + ASKED).stderr
