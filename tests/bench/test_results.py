"""A run's JSON is read back whole, or refused with what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench.counted import fps
from bench.results import RunFileError, parse_run, read_run
from bench.visits import Visit
from tests.bench.runs import row_json, run_json, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ROW = "openvino-int8-b4"


def test_run_is_read_back_as_it_was_measured(tmp_path: Path) -> None:
    data = run_json(
        row_json(ROW, samples_s=[0.04, 0.01, 0.02]),
        row_json("torch-fp32-b1"),
        selected=[ROW, "torch-fp32-b1", "openvino-fp16-b4", "openvino-bf16-b4"],
        skipped={"openvino-fp16-b4": "no such arithmetic"},
        failed={"openvino-bf16-b4": "LabelError: ran FP32"},
    )
    run = read_run(write(tmp_path / "run.json", data))
    assert list(run.rows) == [ROW, "torch-fp32-b1"]
    row = run.rows[ROW]
    assert (row.precision, row.batch_size, row.samples_s) == ("int8", 4, (0.04, 0.01, 0.02))
    assert row.fps == pytest.approx(4 / 0.02)
    assert run.selected == (ROW, "torch-fp32-b1", "openvino-fp16-b4", "openvino-bf16-b4")
    assert run.skipped == {"openvino-fp16-b4": "no such arithmetic"}
    assert run.failed == {"openvino-bf16-b4": "LabelError: ran FP32"}


def test_fps_comes_from_the_raw_samples_not_from_a_stored_number() -> None:
    row = parse_run(run_json(row_json(ROW, fps=1.0, samples_s=[0.5, 0.5, 9.0])), "here").rows[ROW]
    assert row.fps == fps([0.5, 0.5, 9.0], 4) == 8


def test_other_benchmarks_in_the_file_are_left_out() -> None:
    data = run_json(row_json(ROW), {"name": "test_else", "extra_info": {}} | {"extra_info": {"case": ROW}})
    data["benchmarks"][1] = {"name": "test_else", "extra_info": {"note": "mine"}}
    assert list(parse_run(data, "here").rows) == [ROW]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("", "not JSON"),
        (json.dumps(run_json(row_json(ROW)))[:-200], "was the run cut short?"),
        ("[1, 2]", "not a run of this suite"),
        ("null", "not a run of this suite"),
        ('{"benchmarks": []}', "not a run of this suite"),
        (json.dumps(run_json(schema=99)), "not a run of this suite (schema 1)"),
        ("\ufeffnonsense", "not JSON"),
    ],
)
def test_file_that_is_no_run_is_refused_by_name(tmp_path: Path, content: str, what: str) -> None:
    (tmp_path / "run.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunFileError) as caught:
        read_run(tmp_path / "run.json")
    assert str(tmp_path / "run.json") in str(caught.value)
    assert what in str(caught.value)


@pytest.mark.parametrize(("old", "new"), [("0.995", "0.996"), ('"m1"', '"m2"'), ('"checksum"', '"checksun"')])
def test_file_that_was_changed_by_hand_is_refused(tmp_path: Path, old: str, new: str) -> None:
    path = write(tmp_path / "run.json", run_json(row_json(ROW)))
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(RunFileError, match=r"run\.json: its checksum does not match what it holds"):
        read_run(path)


@pytest.mark.parametrize("case", ["openvino-fp8-b1", "openvino", "open vino-int8-b1", "openvino-int8-b0"])
def test_row_of_what_is_no_case_is_refused_by_name(tmp_path: Path, case: str) -> None:
    row = row_json(ROW)
    row["extra_info"]["case"] = case
    path = write(tmp_path / "run.json", run_json(row))
    with pytest.raises(RunFileError, match=rf"run\.json: .* at case: '{case}' does not match"):
        read_run(path)


def test_visits_are_the_first_rounds_and_those_timed_again() -> None:
    again = {"samples_s": [0.5], "canary_s": [0.1, 0.2]}
    row = parse_run(run_json(row_json(ROW, samples_s=[0.4, 0.6], again=[again])), "here").rows[ROW]
    assert row.visits == (Visit((0.4, 0.6), (0.01, 0.01)), Visit((0.5,), (0.1, 0.2)))


def test_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match=r"gone\.json: cannot be read \(No such file"):
        read_run(tmp_path / "gone.json")
    with pytest.raises(RunFileError, match="cannot be read"):
        read_run(tmp_path)
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RunFileError, match=r"binary\.json: not JSON"):
        read_run(tmp_path / "binary.json")


def _without(*path: str) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        place = data
        for part in path[:-1]:
            place = place[part]
        del place[path[-1]]

    return change


def _row(**changes: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: dict[str, Any]) -> None:
        data["benchmarks"][0]["extra_info"].update(changes)

    return change


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_without("benchmarks"), "'benchmarks'"),
        *(
            (_without("suite", name), f"'{name}' is a required property")
            for name in ("asked", "skipped", "failed", "selected", "model", "images", "machine")
        ),
        (_without("suite", "machine", "id"), "at machine: 'id'"),
        (_without("suite", "model", "digest"), "at model: 'digest'"),
        (_row(samples_s=[]), "at samples_s"),
        (_row(samples_s=[0.0]), "at samples_s/0"),
        (_row(samples_s=["fast"]), "at samples_s/0"),
        (_row(samples_s=None), "at samples_s"),
        (_row(batch_size=None), "at batch_size"),
        (_row(precision="int4"), "at precision"),
        (_row(canary_s=[1.0]), "at canary_s"),
        (_row(again=[{"samples_s": [1.0]}]), "at again/0"),
        (_row(dice_fp32=None), "at dice_fp32"),
        (_row(dice_fp32={"mean": 1.0}), "at dice_fp32: 'worst'"),
        (_row(images=["a"]), "openvino-int8-b4: 1 images, but Dice of 3"),
    ],
)
def test_run_with_parts_missing_is_refused_at_its_place(change: Callable[[dict[str, Any]], None], what: str) -> None:
    data = run_json(row_json(ROW))
    change(data)
    with pytest.raises(RunFileError, match=r"^run\.json: a run of this suite with parts missing") as caught:
        parse_run(data, "run.json")
    assert what in str(caught.value)
    assert parse_run(run_json(row_json(ROW)), "run.json").rows
