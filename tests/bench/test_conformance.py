"""One suite for every backend file that loads here: what `bench.backend.Engine` promises, engine by engine."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from bench.backend import Backend, names
from bench.case import PRECISIONS, Case
from bench.engines import check_label
from bench.timing import Stopwatch
from models.graphs import KINDS
from tests.bench.conformance import (
    DEVICES,
    REFUSED,
    RUNS,
    SIZE,
    Lives,
    allowed,
    both_lives,
    images,
    loaded,
    quick_builds,
    short_histograms,
)
from tests.bench.networks import quick

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with quick(), short_histograms(), quick_builds():
        yield tmp_path_factory.mktemp("engines")


@pytest.fixture(scope="module", params=RUNS)
def lives(request: pytest.FixtureRequest, folder: Path) -> Iterator[Lives]:
    with both_lives(request.param, folder) as found:
        yield found


@pytest.mark.parametrize("reason", REFUSED)
def test_cell_that_cannot_run_here_says_why(reason: str) -> None:
    assert len(reason) > 10
    pytest.skip(reason)


@pytest.mark.parametrize("name", names())
def test_backend_file_defines_the_contract(name: str) -> None:
    backend = loaded(name)
    if isinstance(backend, str):
        pytest.skip(backend)
    assert backend.READS in {"module", "graph"}
    assert backend.PRECISIONS
    assert set(backend.PRECISIONS) <= set(PRECISIONS)
    for function in ("supports", "versions", "recipe", "build", "load"):
        promised = inspect.signature(getattr(Backend, function)).parameters
        assert list(inspect.signature(getattr(backend, function)).parameters) == [*promised][1:]
    versions = backend.versions()
    assert versions
    assert all(isinstance(version, str) and version for version in versions.values())
    for precision in PRECISIONS:
        case = Case(name, precision, 1)
        reason = backend.supports(case, DEVICES[-1])
        assert reason is None or len(reason) > 10
        assert reason is not None or precision in backend.PRECISIONS
        if reason is None:
            recipe = backend.recipe(case, DEVICES[-1])
            assert (backend.READS == "graph") == ("graph" in recipe)
            assert recipe.get("graph", "fp32") in KINDS


def test_logits_are_float32_of_the_batch_s_shape_and_finite(lives: Lives) -> None:
    logits = lives.run(images(lives.size))
    assert logits.dtype == np.float32
    assert logits.shape == (lives.size, 2, *SIZE)
    assert np.isfinite(logits).all()


def test_same_batch_twice_gives_the_same_logits(lives: Lives) -> None:
    batch = images(lives.size)
    first = lives.run(batch)
    lives.run(images(lives.size, 3))
    second = lives.run(batch)
    if lives.cell.device == "cpu":
        np.testing.assert_array_equal(first, second)
    else:
        assert lives.near(second, first)


def test_each_slot_answers_for_its_own_image(lives: Lives) -> None:
    batch = images(lives.size)
    together = lives.run(batch)
    for slot in range(lives.size):
        alone = lives.run(np.repeat(batch[slot : slot + 1], lives.size, axis=0))
        assert lives.near(alone, np.repeat(together[slot : slot + 1], lives.size, axis=0))
    others = lives.run(images(lives.size, 3))
    assert not lives.near(others, together)


def test_logits_are_those_of_the_network(lives: Lives) -> None:
    batch = images(lives.size)
    with torch.inference_mode():
        wanted = lives.source.module()(torch.from_numpy(batch)).numpy()
    logits = lives.run(batch)
    if lives.cell.case.precision == "fp32":
        np.testing.assert_allclose(logits, wanted, atol=1e-4)
    else:
        assert np.corrcoef(logits.ravel(), wanted.ravel())[0, 1] > 0.97
        assert float(np.abs(logits - wanted).mean()) > 0  # it is no FP32 in disguise


@pytest.mark.parametrize("change", ["batch", "height", "channels", "rank", "float64", "uint8"])
def test_batch_of_another_shape_or_type_is_refused(lives: Lives, change: str) -> None:
    batch = images(lives.size)
    wrong: dict[str, NDArray[Any]] = {
        "batch": np.concatenate([batch, batch]),
        "height": batch[:, :, :16],
        "channels": np.repeat(batch, 2, axis=1),
        "rank": batch[:, 0],
        "float64": batch.astype(np.float64),
        "uint8": batch.astype(np.uint8),
    }
    with pytest.raises(ValueError, match="float32"):
        lives.engine.copy_in(wrong[change])


def test_batch_in_any_memory_order_is_taken_and_copied(lives: Lives) -> None:
    batch = images(lives.size)
    wanted = lives.run(batch)
    turned = np.ascontiguousarray(batch[::-1, :, ::-1, ::-1])[::-1, :, ::-1, ::-1]
    lives.engine.copy_in(turned)
    turned[:] = 0
    lives.engine.enqueue()
    assert lives.near(lives.engine.copy_out(), wanted)


def test_logits_given_out_are_not_changed_by_the_next_run(lives: Lives) -> None:
    logits = lives.run(images(lives.size))
    kept = logits.copy()
    lives.run(images(lives.size, 3))
    np.testing.assert_array_equal(logits, kept)
    logits[:] = 0
    assert np.ptp(lives.engine.copy_out()) > 0


def test_engine_found_on_disk_gives_the_same_logits(lives: Lives) -> None:
    assert lives.found
    assert lives.near(lives.before, lives.run(images(lives.size)))


def test_closed_engine_holds_nothing_though_closed_twice(lives: Lives) -> None:
    assert lives.parts
    assert lives.survivors == []
    assert lives.kept_bytes < 2**25


def test_achieved_precision_sums_to_1_and_is_the_label_s(lives: Lives) -> None:
    assert sum(lives.engine.achieved.values()) == pytest.approx(1)
    assert all(share > 0 for share in lives.engine.achieved.values())
    formats = allowed(lives.cell)
    if len(formats) == 1:
        check_label(lives.cell.case, lives.engine)
    else:
        assert lives.engine.achieved.keys() <= formats


def test_engine_says_its_size(lives: Lives) -> None:
    assert lives.engine.engine_bytes > 100


def test_no_work_is_pending_after_synchronize(lives: Lives) -> None:
    if lives.cell.device == "cpu":
        lives.engine.enqueue()
        lives.engine.synchronize()
        return
    for _ in range(200):
        lives.engine.enqueue()
    lives.engine.synchronize()
    watch = Stopwatch()
    torch.cuda.synchronize()
    assert watch.elapsed_s < 1e-3
