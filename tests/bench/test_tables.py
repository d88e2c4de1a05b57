"""The results table is made of stored runs by a command, and the README shows exactly what it makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import bench.commands.tables
import bench.tables
from bench.__main__ import main
from bench.checksum import sealed
from bench.results import read_run
from bench.tables import BEGIN, END, TablesError, compact, placed, section
from tests.bench.runs import row_json, run_json, write
from tests.bench.tabled import cells, stream

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two schemes at two batch sizes, one of which ran out of memory, with streams."""
    rows = [
        row_json("torch-fp32-b1", 100.0, speedup=1.0, speedup_over="torch-fp32-b1", build_s=0.04),
        row_json("torch-fp32-b8", 120.0, speedup=1.0, speedup_over="torch-fp32-b8", build_s=0.05),
        row_json(
            "tensorrt-int8-b1", 2011.4, speedup=20.114, speedup_over="torch-fp32-b1", build_s=90.2,
            peak_memory_bytes=700 * 2**20,
        ),
    ]  # fmt: skip
    streams = [stream("torch-fp32-b1", 95.0), stream("tensorrt-int8-b1", 1900.0, done=400, partial=True)]
    failed = {"tensorrt-int8-b8": "OutOfMemoryError: out of memory at batch 8 (needs about 90.0 GiB)"}
    reason = "TensorRT 8.6.0 has no BF16; 10 and later do"
    skipped = {"tensorrt-bf16-b1": reason, "tensorrt-bf16-b8": reason, "torch2trt": "No module named 'torch2trt'"}
    data = run_json(*rows, failed=failed, skipped=skipped)
    data["benchmarks"] += streams
    return write(tmp_path / "run.json", data)


def tables(path: Path) -> list[str]:
    """Return the lines that the command prints of one run."""
    return section([path], lambda each: each.name).splitlines()


def test_each_scheme_is_a_line_with_a_column_for_each_batch_size(run: Path) -> None:
    lines = tables(run)
    assert lines[0].startswith("**tiny on 3 images (built-in held-out, 64x64), AMD EPYC, 2 threads**, 2030-06-15, ")
    assert lines[0].endswith("from `run.json`.")
    assert "| scheme | FPS b1 | FPS b8 | speed-up b1 | speed-up b8 | Dice vs FP32 |" in lines
    assert "| scheme | Dice vs truth | MiB b1 | MiB b8 | build s b1 | build s b8 |" in lines
    speed, cost, _ = cells(lines, "torch fp32")
    assert speed == ["100.0", "120.0", "1.00", "1.00", "1.00000"]
    assert cost == ["0.8767", "50", "50", "0.0", "0.1"]
    speed, cost, _ = cells(lines, "tensorrt int8")
    assert speed == ["2011", "-", "20.11", "-", "0.99233"]
    assert cost == ["0.8767", "700", "-", "90", "-"]
    order = [line.split(" |")[0] for line in lines if line.startswith("| t")]
    assert order == ["| torch fp32", "| tensorrt int8"] * 3


def test_streams_have_a_table_of_their_own_with_the_cold_start_apart(run: Path) -> None:
    lines = tables(run)
    assert "| stream | 1000 b1 | share of engine | cold start s |" in lines
    assert "| torch fp32 | 95.0<br>10.53&nbsp;s | 98.5% | 1.2 |" in lines
    assert "| tensorrt int8 | 1900<br>400 done, partial | 98.5% | 1.2 |" in lines
    assert any(line.endswith("of which the seconds hold the first batch alone.") for line in lines)


def test_a_stream_without_its_cold_start_has_a_dash_there(tmp_path: Path) -> None:
    data = run_json(row_json("torch-fp32-b1", 100.0), row_json("torch-fp16-b1", 200.0))
    lacking, empty = stream("torch-fp32-b1", 95.0), stream("torch-fp16-b1", 190.0, cold_start_s={})
    del lacking["extra_info"]["stream"]["cold_start_s"]
    data["benchmarks"] += [lacking, empty]
    lines = tables(write(tmp_path / "run.json", data))
    assert "| torch fp32 | 95.0<br>10.53&nbsp;s | 98.5% | - |" in lines
    assert "| torch fp16 | 190.0<br>5.26&nbsp;s | 98.5% | - |" in lines


def test_what_did_not_run_is_one_line_with_the_reasons(run: Path) -> None:
    notes = [line for line in tables(run) if line.startswith("- ")]
    reason = "TensorRT 8.6.0 has no BF16; 10 and later do"
    assert notes == [
        "- tensorrt-int8-b8: OutOfMemoryError: out of memory at batch 8 (needs about 90.0 GiB)",
        f"- Not run: tensorrt bf16 ({reason}); torch2trt (No module named 'torch2trt').",
    ]


def test_dice_that_batch_sizes_do_not_share_is_a_range(tmp_path: Path) -> None:
    rows = [row_json("tensorrt-int8-b1"), row_json("tensorrt-int8-b8")]
    rows[1]["extra_info"]["dice_fp32"] = {**rows[1]["extra_info"]["dice_fp32"], "mean": 0.991}
    path = write(tmp_path / "run.json", run_json(*rows))
    assert cells(tables(path), "tensorrt int8")[0][-1] == "0.99100 to 0.99233"


def test_cases_that_failed_alike_are_one_line(run: Path) -> None:
    data = json.loads(run.read_text())
    said = "was asked for by name and cannot run: TensorRT 8.6.0 has no BF16; 10 and later do"
    data["suite"]["failed"] = {f"tensorrt-bf16-b{n}": f"Failed: tensorrt-bf16-b{n} {said}" for n in (1, 8)}
    run.write_text(json.dumps(sealed(data)))
    notes = [line for line in tables(run) if line.startswith("- ")]
    assert notes[0] == f"- tensorrt-bf16-b1, tensorrt-bf16-b8: {said.removeprefix('was ')}"
    assert not any("tensorrt bf16" in note for note in notes[1:])


def test_no_name_in_a_run_becomes_markup(tmp_path: Path) -> None:
    failed = {"openvino-int8-b1": "RuntimeError: <b> of `x`"}
    data = run_json(row_json("torch-fp32-b1"), skipped={"torch2trt": "<img src=x> | *no*"}, failed=failed)
    data["suite"]["model"]["name"] = "a|b<c>"
    text = "\n".join(tables(write(tmp_path / "run.json", data)))
    assert "a\\|b&lt;c>" in text
    assert "&lt;img src=x> \\| \\*no\\*" in text
    assert "- openvino-int8-b1: RuntimeError: &lt;b> of \\`x\\`" in text


def test_a_stored_run_is_short_and_gives_the_same_tables_and_checksum(run: Path, tmp_path: Path) -> None:
    data = json.loads(run.read_text())
    for row in data["benchmarks"]:
        row["stats"] = {"data": [0.1] * 1000}
    run.write_text(json.dumps(data))
    out = tmp_path / "docs" / "run.json"
    assert main(["tables", str(run), "--store", str(out)]) == 0
    assert tables(out) == tables(run)
    assert read_run(out) == read_run(run)
    text = out.read_text()
    assert len(text) < 20_000 < len(run.read_text())
    assert len(text.splitlines()) == len(data["benchmarks"]) + 3  # a line per row


def test_a_stored_run_tells_nothing_of_the_folders_it_was_measured_in(run: Path, tmp_path: Path) -> None:
    data = json.loads(run.read_text())
    data["suite"]["command"] = "pytest bench/test_stream.py -k 'a or b' --images=/home/me/data/test --cache-dir /var/c1"
    run.write_text(json.dumps(sealed(data)))
    out = tmp_path / "stored.json"
    assert main(["tables", str(run), "--store", str(out)]) == 0
    short = "pytest bench/test_stream.py -k 'a or b' --images=test --cache-dir c1"
    assert read_run(out).suite["command"] == short


def test_a_run_too_large_to_store_is_refused(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.tables, "MOST_BYTES", 2000)
    with pytest.raises(TablesError, match=r"run\.json: 0\.0 MB without what can be left out"):
        compact(run)


def test_only_what_stands_between_the_markers_is_replaced(run: Path, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Before\n{BEGIN}\nold figures\n{END}\nAfter.\n")
    assert main(["tables", str(run), "--readme", str(readme), "--check"]) == 1
    assert "old figures" in readme.read_text()
    assert main(["tables", str(run), "--readme", str(readme)]) == 0
    text = readme.read_text()
    assert text.startswith(f"# Before\n{BEGIN}\n\n**tiny on 3 images")
    assert text.endswith(f"\n{END}\nAfter.\n")
    assert "old figures" not in text
    assert main(["tables", str(run), "--readme", str(readme), "--check"]) == 0
    assert placed(text, section([run], lambda each: each.name), "README.md") == text
    readme.write_text(text.replace("2011", "2012"))
    assert main(["tables", str(run), "--readme", str(readme), "--check"]) == 1


@pytest.mark.parametrize("document", ["", BEGIN, f"{END}\n{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_a_document_without_its_two_markers_is_refused(document: str) -> None:
    with pytest.raises(TablesError, match=r"page\.md: the results go between one line"):
        placed(document, "figures", "page.md")


def test_options_that_would_do_nothing_are_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme, out = tmp_path / "README.md", tmp_path / "x.json"
    readme.write_text(f"{BEGIN}\nold figures\n{END}\n")
    assert main(["tables", str(run), "--check"]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("no tables: --check needs --readme FILE")
    assert not said.out
    for options in (["--readme", str(readme)], ["--check"], ["--readme", str(readme), "--check"]):
        assert main(["tables", str(run), "--store", str(out), *options]) == 2
        assert capsys.readouterr().err.startswith("no tables: --store keeps a run and makes no tables: ")
    assert not out.exists()
    assert "old figures" in readme.read_text()


def test_files_that_cannot_be_used_are_one_error_and_change_nothing(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    edited = tmp_path / "edited.json"
    edited.write_text(run.read_text().replace("2011.4", "2911.4"))
    assert main(["tables", str(edited)]) == 2
    assert "it was changed after it was measured" in capsys.readouterr().err
    assert main(["tables", str(edited), "--store", str(tmp_path / "x.json")]) == 2
    assert main(["tables", str(run), str(run), "--store", str(tmp_path / "x.json")]) == 2
    assert "--store keeps one run; 2 were given" in capsys.readouterr().err
    assert not (tmp_path / "x.json").exists()
    monkeypatch.setattr(bench.commands.tables, "STORED", tmp_path / "none")
    assert main(["tables"]) == 2
    assert capsys.readouterr().err.startswith("no tables: no runs: give some, or store one")


def test_the_readme_shows_what_the_stored_runs_give() -> None:
    paths = bench.commands.tables.stored()
    if not paths:
        pytest.skip("docs/runs/ holds no run yet: python -m bench tables RUN.json --store docs/runs/NAME.json")
    assert max(path.stat().st_size for path in paths) <= bench.tables.MOST_BYTES
    assert main(["tables", "--readme", str(ROOT / "README.md"), "--check"]) == 0
