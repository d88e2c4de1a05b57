"""A baseline file is whole and of its schema, written in one step, and keyed so that only like is compared."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from bench.baseline import Baseline, BaselineError, entries_of, load_baseline, save_baseline, updated
from tests.bench.runs import MACHINE, baseline_of, row_json, run_of, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INT8, FP32 = "openvino-int8-b4", "torch-fp32-b1"
IMAGES_2 = {"origin": "mine", "digest": "i2", "count": 3, "size": [64, 64]}


@pytest.fixture
def two() -> Baseline:
    return baseline_of(row_json(INT8), row_json(FP32))


def test_baseline_is_read_back_as_it_was_saved(tmp_path: Path, two: Baseline) -> None:
    save_baseline(two, tmp_path / "new" / "machine.json")
    assert load_baseline(tmp_path / "new" / "machine.json") == two
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["machine.json"]


def test_entries_hold_all_that_a_later_run_is_compared_with() -> None:
    run = run_of(row_json(INT8, fps=200.0), row_json(FP32, dice_truth=None))
    int8, fp32 = entries_of(run)
    assert (int8.case, int8.model, int8.model_digest, int8.images, int8.images_digest) == (
        INT8,
        "tiny",
        "m1",
        "built-in held-out",
        "i1",
    )
    assert int8.fps == pytest.approx(200)
    assert int8.samples_s == list(run.rows[INT8].samples_s)
    assert int8.dice_fp32 == run.rows[INT8].info["dice_fp32"]["per_image"]
    assert (int8.dice_truth is None, fp32.dice_truth) == (False, None)
    assert int8.versions == {"openvino": "1.0"}


def test_saved_file_changes_by_the_lines_of_what_changed(tmp_path: Path, two: Baseline) -> None:
    save_baseline(two, tmp_path / "a.json")
    save_baseline(updated(two, MACHINE, entries_of(run_of(row_json(FP32, fps=123.0)))), tmp_path / "b.json")
    before, after = ((tmp_path / name).read_text().splitlines() for name in ("a.json", "b.json"))
    changed = {new.split(":")[0].strip() for old, new in zip(before, after, strict=True) if old != new}
    assert changed == {'"fps"', '"samples_s"'}


def test_update_replaces_entries_of_the_same_key_and_keeps_the_others(two: Baseline) -> None:
    mine = entries_of(run_of(row_json(INT8, fps=50.0), images=IMAGES_2))
    again = entries_of(run_of(row_json(INT8, fps=70.0)))
    found = updated(updated(two, MACHINE, mine), MACHINE, again)
    assert len(found.entries) == 3
    rates = {digest: found.find(INT8, "m1", digest) for digest in ("i1", "i2")}
    assert {digest: entry.fps for digest, entry in rates.items() if entry} == {"i1": 70.0, "i2": 50.0}
    assert two.entries[INT8, "m1", "i1"].fps == 100.0


@pytest.mark.parametrize("key", [("torch-int8-b4", "m1", "i1"), (INT8, "m2", "i1"), (INT8, "m1", "i2")])
def test_entry_of_another_case_model_or_image_set_is_not_found(two: Baseline, key: tuple[str, str, str]) -> None:
    assert two.find(*key) is None
    assert two.find(INT8, "m1", "i1") is not None
    assert [entry.case for entry in two.others(INT8)] == [INT8]


def test_no_file_is_no_baseline(tmp_path: Path) -> None:
    assert load_baseline(tmp_path / "machine.json") is None


def _entry(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["entries"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda data: data.update(schema=2), "schema"),
        (lambda data: data.pop("machine"), "its top level"),
        (lambda data: data.update(extra=1), "its top level"),
        (lambda data: data["machine"].clear(), "machine"),
        (lambda data: data["entries"][0].pop("model_digest"), "entries/0"),
        (_entry(note="by hand"), "entries/0"),
        (_entry(fps=0), "entries/0/fps"),
        (_entry(fps="fast"), "entries/0/fps"),
        (_entry(samples_s=[]), "entries/0/samples_s"),
        (_entry(dice_fp32=[[1.2, 1.0]]), "entries/0/dice_fp32/0/0"),
        (_entry(dice_truth="good"), "entries/0/dice_truth"),
    ],
)
def test_file_that_breaks_the_schema_is_refused_at_its_place(
    tmp_path: Path, two: Baseline, change: Callable[[dict[str, Any]], None], place: str
) -> None:
    path = tmp_path / "machine.json"
    save_baseline(two, path)
    data = json.loads(path.read_text())
    change(data)
    write(path, data)
    with pytest.raises(BaselineError) as caught:
        load_baseline(path)
    assert str(caught.value).startswith(f"{path}: breaks the baseline schema at {place}:")


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "machine"', b"\xff\xfe"])
def test_file_that_is_no_json_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "machine.json").write_bytes(content)
    with pytest.raises(BaselineError, match=r"machine\.json: not a baseline file"):
        load_baseline(tmp_path / "machine.json")


def test_value_that_breaks_the_schema_is_not_saved(tmp_path: Path, two: Baseline) -> None:
    save_baseline(two, tmp_path / "machine.json")
    before = (tmp_path / "machine.json").read_text()
    bad = replace(two.entries[INT8, "m1", "i1"], samples_s=[])
    with pytest.raises(jsonschema.ValidationError):
        save_baseline(Baseline(MACHINE, {bad.key: bad}), tmp_path / "machine.json")
    assert (tmp_path / "machine.json").read_text() == before


@pytest.mark.parametrize("failure", [OSError("disk full"), KeyboardInterrupt()])
def test_interrupted_save_keeps_the_old_file_and_leaves_no_other(
    tmp_path: Path, two: Baseline, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    save_baseline(two, tmp_path / "machine.json")
    before = (tmp_path / "machine.json").read_text()

    def fail(data: dict[str, Any]) -> str:
        raise failure

    monkeypatch.setattr("bench.baseline._dumped", fail)
    with pytest.raises(type(failure)):
        save_baseline(updated(two, MACHINE, entries_of(run_of(row_json(FP32, fps=1.0)))), tmp_path / "machine.json")
    assert (tmp_path / "machine.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["machine.json"]


def test_empty_baseline_is_one(tmp_path: Path) -> None:
    save_baseline(Baseline(MACHINE, {}), tmp_path / "machine.json")
    assert load_baseline(tmp_path / "machine.json") == Baseline(MACHINE, {})
