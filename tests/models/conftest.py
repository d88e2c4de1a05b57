"""What the tests of training share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from models.images import builtin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.images import ImageSet


@pytest.fixture(scope="module")
def sections() -> ImageSet:
    return builtin("train", (96, 96), 4)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Keep threads from waiting for each other where other work shares the cores: these tensors are too small."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
