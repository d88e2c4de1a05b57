"""Recorded turns are kept whole and small, and a replay of them finds the loss that was put in and nothing else."""

from __future__ import annotations

import json
import random
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bench import turns
from bench.__main__ import main
from bench.traces import TraceError
from bench.turns import Pair, Turns, load, replay, save
from bench.visits import Visit
from tests.bench.test_replay import ORIGIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASE = "openvino-int8-b1"


def made(noise: float, pairs: int = 3, count: int = 240, apart: float = 0.0) -> tuple[Pair, ...]:
    """Return pairs whose second process is slower by up to `apart`, turn by turn with this noise."""
    generator = np.random.default_rng(0)
    found = []
    for pair in range(pairs):
        factors = np.where(np.arange(count) % 4 % 3 == 0, 1.0, 1 + apart * pair)
        fastest = 0.03 * factors * np.exp(noise * generator.normal(size=count))
        median = fastest * (1 + np.abs(2 * noise * generator.normal(size=count)))
        found.append(Pair(tuple(zip(fastest.tolist(), median.tolist(), strict=True)), count * 0.15))
    return tuple(found)


def outcomes(taken: tuple[Pair, ...], loss: float, budget_s: float = 120.0) -> list[str | None]:
    draw = random.Random(1)  # noqa: S311 - not for secrets
    return [replay(Turns("made", ORIGIN, CASE, taken), loss, budget_s, draw).verdict for _ in range(20)]


def test_turns_are_read_back_to_six_digits_and_are_small(tmp_path: Path) -> None:
    path = tmp_path / "pairs.json"
    save(path, ORIGIN, CASE, made(0.01))
    found = load(path)
    assert (found.name, found.case, found.origin) == ("pairs", CASE, ORIGIN)
    for one, other in zip(found.pairs, made(0.01), strict=True):
        assert one.seconds == pytest.approx(other.seconds)
        assert np.array(one.turns) == pytest.approx(np.array(other.turns), rel=1e-5)
    assert path.stat().st_size < 20 * 3 * 240
    assert [each.name for each in tmp_path.iterdir()] == ["pairs.json"]


@pytest.mark.parametrize("text", ["", "[]", '{"kind": "turns", "origin": {}, "case": "x", "pairs": [[1]]}'])
def test_file_that_holds_no_turns_is_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pairs.json"
    path.write_text(text)
    with pytest.raises(TraceError, match=r"pairs\.json: no turns .*python -m bench trace --turns CASE records some"):
        load(path)


def test_one_pair_alone_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "pairs.json", ORIGIN, CASE, made(0.01, pairs=1))
    with pytest.raises(TraceError, match=r"1 pair of processes; a replay takes 2"):
        load(tmp_path / "pairs.json")


def test_replay_finds_the_loss_and_nothing_else() -> None:
    quiet = made(0.005)
    assert set(outcomes(quiet, 0.0)) == {"same"}
    assert set(outcomes(quiet, 0.02)) == {"slower"}
    assert set(outcomes(made(0.2), 0.02, budget_s=5.0)) == {None}


def test_difference_that_one_pair_alone_has_is_none() -> None:
    apart = made(0.002, pairs=2, apart=0.03)
    assert set(outcomes(apart, 0.0)) <= {"same", None}
    assert None in outcomes(apart, 0.0)


def test_replay_takes_the_time_that_the_turns_took() -> None:
    draw = random.Random(1)  # noqa: S311 - not for secrets
    found = replay(Turns("made", ORIGIN, CASE, made(0.002)), 0.0, 120.0, draw)
    assert found.seconds == pytest.approx(2 * found.pairs * 0.15)
    noisy = replay(Turns("made", ORIGIN, CASE, made(0.2)), 0.0, 20.0, draw)
    assert 20 <= noisy.seconds < 21


def test_command_prints_how_often_each_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pairs.json"
    save(path, ORIGIN, CASE, made(0.005))
    assert main(["selftest", str(path), "--trials", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == (
        "**pairs**: ab openvino-int8-b1, 3 pairs of processes of 36 s on AMD EPYC, 2 cores, 2030-01-01 (quiet); "
        "10 replays, budget 120 s"
    )
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    assert rows[0][:2] == ["FPS lost", "slower within 30 s"]
    assert [row[0] for row in rows[1:]] == ["0%", "1%", "2%", "5%"]
    assert rows[1][1:7] == ["0.0%"] * 5 + ["100.0%"]
    assert rows[-1][1:7] == ["100.0%"] * 4 + ["0.0%"] * 2


class FakeClient:
    """A worker that answers at once."""

    def need(self, case: str) -> None:
        """Have it."""

    def visit(self, case: str, seconds: float, *, canary: bool) -> Visit:
        """Return three rounds."""
        assert (case, seconds, canary) == (CASE, 0.1, False)
        return Visit((0.03, 0.01, 0.02), None)


def test_pairs_are_recorded_until_there_are_as_many_as_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started = []

    @contextmanager
    def fake(place: Any, spec: Any) -> Iterator[FakeClient]:
        assert "warm_up_s" not in spec
        started.append((place, spec["cases"], spec["image_size"]))
        yield FakeClient()

    monkeypatch.setattr(turns, "worker", fake)
    path = tmp_path / "pairs.json"
    given = ("--turns", CASE, "--runs", "2", "--pair-seconds", "0.001", "--image-size", "512", "--note", "quiet")
    assert main(["trace", *given, "--out", str(path)]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines == ["  1 of 2 pairs", "  2 of 2 pairs"]
    assert last.startswith(f"2 pairs of processes of {CASE} in {path}, ")
    assert [each[1:] for each in started] == [([CASE], 512)] * 4
    found = load(path)
    assert (found.case, found.origin["note"], len(found.pairs)) == (CASE, "quiet", 2)
    assert set(found.pairs[0].turns) == {(0.01, 0.02)}
    assert json.loads(path.read_text())["schema"] == 1
    more = (*given[:2], "--runs", "3", *given[4:], "--out", str(path), "--append")
    assert main(["trace", *more]) == 0
    assert len(load(path).pairs) == 3
    assert main(["trace", *more, "--turns", "torch-fp32-b1"]) == 2
    assert "pairs.json: its case is another than now; record to another file" in capsys.readouterr().err
    assert len(load(path).pairs) == 3
