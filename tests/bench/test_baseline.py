"""A baseline file is whole and of its schema, written in one step, and keyed so that only like is compared."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from bench.accept import waived
from bench.baseline import FOLDER, Baseline, BaselineError, load_baseline, save_baseline
from bench.entries import Acceptance, Record, Waiver, entries_of
from models.network import load_network
from tests.bench.runs import MACHINE, baseline_of, row_json, run_json, run_of, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

INT8, FP32 = "openvino-int8-b4", "torch-fp32-b1"
WHO = Acceptance("ada", "2030-06-01T12:00:00+00:00", "first", "c0ffee")


@pytest.fixture
def two() -> Baseline:
    return baseline_of(row_json(INT8), row_json(FP32))


def test_baseline_is_read_back_as_it_was_saved(tmp_path: Path, two: Baseline) -> None:
    save_baseline(two, tmp_path / "new" / "machine.json")
    assert load_baseline(tmp_path / "new" / "machine.json") == two
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["machine.json"]


def test_entries_hold_all_that_a_later_run_is_compared_with() -> None:
    again = {"samples_s": [0.021] * 3, "canary_s": [0.02, 0.03]}
    runs = [run_of(row_json(INT8, fps=fps, again=[again]), row_json(FP32, dice_truth=None)) for fps in (200.0, 210.0)]
    int8, fp32 = entries_of(runs, WHO)
    assert (int8.case, int8.model, int8.model_digest) == (INT8, "tiny", "m1")
    assert (int8.images, int8.images_digest, int8.calibration) == ("built-in held-out", "i1", "c1")
    assert (int8.threads, int8.versions, int8.current.accepted) == (2, {"openvino": "1.0"}, WHO)
    assert int8.fps == pytest.approx((200 * 210) ** 0.5, rel=1e-3)
    assert [len(run.visits) for run in int8.current.runs] == [2, 2]
    first, second = int8.current.runs[0].visits
    assert len(first.samples_s) == 8
    assert (second.samples_s, second.canary_s) == ((0.021,) * 3, (0.02, 0.03))
    assert int8.current.runs[0].dice_fp32 == runs[0].rows[INT8].info["dice_fp32"]["per_image"]
    assert (int8.dice_truth is None, fp32.dice_truth) == (False, None)


def test_saved_file_changes_by_the_lines_of_what_changed(tmp_path: Path, two: Baseline) -> None:
    save_baseline(two, tmp_path / "a.json")
    entry = two.entries[FP32, "m1", "i1"]
    changed = replace(two, entries={**two.entries, entry.key: replace(entry, threads=7)})
    save_baseline(changed, tmp_path / "b.json")
    before, after = ((tmp_path / name).read_text().splitlines() for name in ("a.json", "b.json"))
    differing = {new.split(":")[0].strip() for old, new in zip(before, after, strict=True) if old != new}
    assert differing == {'"checksum"', '"threads"'}


def test_record_waivers_and_history_are_read_back(tmp_path: Path, two: Baseline) -> None:
    entry = two.entries[INT8, "m1", "i1"]
    older = replace(entry, previous=entry.current, anchor=entry.current)
    waiver = Waiver(INT8, 0.1, "known", "2030-01-01", "ada")
    found = waived(replace(two, entries={**two.entries, entry.key: older}), waiver)
    save_baseline(found, tmp_path / "machine.json")
    assert load_baseline(tmp_path / "machine.json") == found


@pytest.mark.parametrize("key", [("torch-int8-b4", "m1", "i1"), (INT8, "m2", "i1"), (INT8, "m1", "i2")])
def test_entry_of_another_case_model_or_image_set_is_not_found(two: Baseline, key: tuple[str, str, str]) -> None:
    assert two.find(*key) is None
    assert two.find(INT8, "m1", "i1") is not None
    assert [entry.case for entry in two.others(INT8)] == [INT8]


def test_no_file_is_no_baseline(tmp_path: Path) -> None:
    assert load_baseline(tmp_path / "machine.json") is None


def _entry(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["entries"][0].update(changes)


def _run(**changes: Any) -> Callable[[dict[str, Any]], None]:
    return lambda data: data["entries"][0]["current"]["runs"][0].update(changes)


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda data: data.pop("checksum"), "its top level"),
        (lambda data: data.pop("machine"), "its top level"),
        (lambda data: data.update(extra=1), "its top level"),
        (lambda data: data["machine"].clear(), "machine"),
        (lambda data: data["entries"][0].pop("model_digest"), "entries/0"),
        (_entry(note="by hand"), "entries/0"),
        (_entry(case="openvino-fp8-b1"), "entries/0/case"),
        (_entry(threads="many"), "entries/0/threads"),
        (_entry(current=None), "entries/0/current"),
        (_run(visits=[]), "entries/0/current/runs/0/visits"),
        (_run(visits=[[[0], []]]), "entries/0/current/runs/0/visits/0/0/0"),
        (_run(visits=[[[1]]]), "entries/0/current/runs/0/visits/0"),
        (_run(dice_fp32=[[1.2, 1.0]]), "entries/0/current/runs/0/dice_fp32/0/0"),
        (_run(dice_truth="good"), "entries/0/current/runs/0/dice_truth"),
        (lambda data: data["waivers"].append({"case": "x"}), "waivers/0"),
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


@pytest.mark.parametrize(("old", "new"), [('"threads": 2', '"threads": 3'), ("0.995", "0.996"), ("c0ffee", "c0ffef")])
def test_file_that_was_changed_by_hand_is_refused(tmp_path: Path, two: Baseline, old: str, new: str) -> None:
    path = tmp_path / "machine.json"
    save_baseline(two, path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(BaselineError, match=r"machine\.json: its checksum does not match what it holds"):
        load_baseline(path)


@pytest.mark.parametrize("schema", [1, 3])
def test_file_of_another_version_of_the_suite_is_told_as_one_with_what_to_do(
    tmp_path: Path, two: Baseline, schema: int
) -> None:
    path = tmp_path / "machine.json"
    save_baseline(two, path)
    write(path, {**json.loads(path.read_text()), "schema": schema, "new": True})
    told = rf"another version of this suite \(schema {schema}, here 2\): measure and accept it anew \(make baseline\)"
    with pytest.raises(BaselineError, match=told):
        load_baseline(path)


@pytest.mark.parametrize("data", [[], {}, run_json(row_json(INT8))])
def test_file_of_something_else_such_as_a_run_is_told_as_no_baseline(tmp_path: Path, data: object) -> None:
    path = write(tmp_path / "machine.json", data)
    with pytest.raises(BaselineError, match=r"not a baseline; python -m bench baseline accept RUN RUN RUN"):
        load_baseline(path)


@pytest.mark.parametrize("content", [b"", b'{"schema": 1, "machine"', b"\xff\xfe"])
def test_file_that_is_no_json_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "machine.json").write_bytes(content)
    with pytest.raises(BaselineError, match=r"machine\.json: not a baseline file"):
        load_baseline(tmp_path / "machine.json")


def test_value_that_breaks_the_schema_is_not_saved(tmp_path: Path, two: Baseline) -> None:
    save_baseline(two, tmp_path / "machine.json")
    before = (tmp_path / "machine.json").read_text()
    bad = replace(two.entries[INT8, "m1", "i1"], current=Record(WHO, ()))
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
        save_baseline(baseline_of(row_json(FP32, fps=1.0)), tmp_path / "machine.json")
    assert (tmp_path / "machine.json").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["machine.json"]


def test_empty_baseline_is_one(tmp_path: Path) -> None:
    save_baseline(Baseline(MACHINE, {}), tmp_path / "machine.json")
    assert load_baseline(tmp_path / "machine.json") == Baseline(MACHINE, {})


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda path: path.stem)
def test_stored_baselines_are_of_the_networks_that_are_shipped(path: Path) -> None:
    # A network's digest holds its classes' code: a change there makes every stored entry one of another network.
    baseline = load_baseline(path)
    assert baseline is not None
    stored = {entry.model: entry.model_digest for entry in baseline.entries.values()}
    assert stored == {model: load_network(model).digest for model in stored}


def test_runs_that_were_timed_again_are_stored_as_one_process_each(tmp_path: Path) -> None:
    again = [{"samples_s": [0.05, 0.05], "canary_s": [0.01, 0.01]}]
    made = baseline_of(row_json("openvino-int8-b4", reruns=again))
    assert {entry.current.processes for entry in made.entries.values()} == {6}
    save_baseline(made, tmp_path / "made.json")
    stored = load_baseline(tmp_path / "made.json")
    assert stored is not None
    assert {entry.current.processes for entry in stored.entries.values()} == {3}
