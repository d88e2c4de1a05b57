"""Variants are real engines, timed in turn with the plain one and judged like any other; one that fails is a reason."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import bench.contest
import bench.variants
from bench.__main__ import main
from bench.backend import BuildError
from bench.case import Case
from bench.contest import Tried, try_variants
from bench.reference import reference_masks
from bench.variants import combined, offered, variant_source
from tests.bench.conformance import short_histograms
from tests.bench.networks import as_network, quick, sections, tiny_source, two_convolutions
from tests.documents import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from bench.backend import Engine, Source

CASE = Case("openvino", "int8", 2)


def tried(tmp_path: Path, *names: str, **options: Any) -> tuple[list[Tried], list[str]]:
    """Try variants of the tiny network by name, and return what was built, too."""
    source = tiny_source(tmp_path)
    images = sections("held-out", 3)
    chosen = [combined(name, offered(CASE, "cpu")) for name in names]
    with quick():
        found = try_variants(source, CASE, chosen, images, reference_masks(source, images), turns=7, **options)
    return found, source.cache.builds


def test_each_variant_is_built_from_its_own_graph_and_judged(tmp_path: Path) -> None:
    found, builds = tried(tmp_path, "float-ends", "one-logit", "percentile")
    assert [each.name for each in found] == ["plain", "float-ends", "one-logit", "percentile"]
    plain, *others = (each.figures for each in found)
    assert plain is not None
    assert (plain.ratio, plain.low, plain.high, len(plain.seconds)) == (1, 1, 1, 7)
    for figures in others:
        assert figures is not None
        assert figures.low <= figures.ratio <= figures.high
        assert figures.fps > 0
        assert figures.build_s > 0
        assert 0.97 < figures.worst <= figures.dice_fp32 <= 1
        # On a CPU with AMX one logit gives just the masks of two.
        assert (figures.dice_fp32, figures.engine_bytes) != (plain.dice_fp32, plain.engine_bytes)
        assert figures.layers is None  # OpenVINO's file offers no trials, and so no count
    engines = [name for name in builds if name.startswith("engine/openvino")]
    assert engines == [f"engine/{CASE}{end}" for end in ("", "-float-ends", "-one-logit", "-percentile")]


def test_what_cannot_be_built_is_a_reason_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: Source, plain: Source, case: Case, trials: tuple[str, ...], folder: Path) -> None:
        message = "the builder's own words"
        raise BuildError(message)

    fake = SimpleNamespace(
        offers=lambda case, device: {"hopeless": ()},
        recipe=lambda case, device, trials: {"graph": "int8-unsigned", "trial": " ".join(trials)},
        build=refuse,
        layers=lambda folder: (9, 4),
        __file__=__file__,
    )
    for module in (bench.variants, bench.contest):
        monkeypatch.setattr(module, "load_trials", lambda name: fake)
    found, _ = tried(tmp_path, "hopeless", "float-last")
    assert [each.fault for each in found] == [None, "the builder's own words", None]
    assert [each.figures is None for each in found] == [False, True, False]
    assert found[2].figures is not None
    assert (found[2].figures.layers, found[2].figures.reformats) == (9, 4)


def test_a_trial_is_built_and_loaded_by_its_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench.backends.openvino as openvino  # noqa: PLC0415, PLR0402 - the backend that the trial is made of

    asked: list[Any] = []

    def build(source: Source, plain: Source, case: Case, trials: tuple[str, ...], folder: Path) -> None:
        asked.append((source.graph("int8-unsigned") != plain.graph("int8-unsigned"), trials))
        openvino.build(source, case, folder)

    def load(source: Source, case: Case, trials: tuple[str, ...], folder: Path) -> Engine:
        asked.append(("loaded", trials))
        return openvino.load(source, case, folder)

    fake = SimpleNamespace(
        offers=lambda case, device: {"good": ("one-logit",)},
        recipe=lambda case, device, trials: {"graph": "int8-unsigned", "trial": " ".join(trials)},
        build=build,
        load=load,
        layers=lambda folder: (1, 0),
        __file__=__file__,
    )
    for module in (bench.variants, bench.contest):
        monkeypatch.setattr(module, "load_trials", lambda name: fake)
    found, builds = tried(tmp_path, "good+float-last")
    assert found[1].figures is not None, found[1].fault
    assert asked == [(True, ("good",)), ("loaded", ("good",))]
    assert f"engine/{CASE}-good+float-last" in builds


def test_after_the_budget_no_further_build_is_begun(tmp_path: Path) -> None:
    found, builds = tried(tmp_path, "float-first", "float-last", build_budget_s=0.0)
    assert [each.fault and each.fault.partition(":")[0] for each in found] == [None, "not begun", "not begun"]
    assert f"engine/{CASE}-float-first" not in builds


def test_a_failing_plain_engine_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        message = "no such engine"
        raise BuildError(message)

    monkeypatch.setattr(bench.contest, "open_variant", refuse)
    with pytest.raises(BuildError, match="no such engine"):
        tried(tmp_path, "float-last")


def test_steps_on_quantized_nodes_leave_other_graphs_alone(tmp_path: Path) -> None:
    source = tiny_source(tmp_path)
    variant = variant_source(source, ("float-ends",))
    assert variant.graph("fp32") == source.graph("fp32")
    assert variant.graph("int8") != source.graph("int8")
    assert variant_source(source, ("one-logit",)).graph("fp32") != source.graph("fp32")
    assert variant_source(source, ()) is source


@pytest.mark.parametrize(("name", "plain"), [("unet-small", "unet-small"), ("my.nets:tiny", "my-nets-tiny")])
def test_graphs_and_masks_of_a_network_lie_under_one_name(tmp_path: Path, name: str, plain: str) -> None:
    source = tiny_source(tmp_path, as_network(two_convolutions(), name))
    variant_source(source, ("one-logit",)).graph("fp32")
    reference_masks(source, sections("held-out", 1))
    folders = [
        path for kind in ("graph", "reference") for path in (source.cache.root / kind).iterdir() if path.is_dir()
    ]
    assert {path.name.rpartition("-")[0] for path in folders} == {f"{plain}-fp32", f"{plain}-fp32-one-logit"}


def test_percentile_is_another_calibration_of_the_same_form(tmp_path: Path) -> None:
    source = tiny_source(tmp_path)
    variant = variant_source(source, ("percentile",))
    with short_histograms():
        for form in ("", "-typed", "-unsigned"):
            assert variant.graph(f"int8{form}") == source.graph(f"int8-percentile{form}")
        assert variant.graph("int8-entropy") == source.graph("int8-entropy")


def test_variants_are_offered_where_they_make_sense(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(offered(Case("openvino", "fp32", 1), "cpu")) == {"one-logit"}
    assert "percentile" not in offered(Case("openvino", "int8-entropy", 1), "cpu")
    assert "shared-concat" not in offered(CASE, "cpu")  # the graph of CPUs has it
    monkeypatch.setattr(bench.variants, "load_trials", lambda name: None)
    assert offered(Case("torch", "fp32", 1), "cpu") == {}


def test_names_joined_by_plus_go_together() -> None:
    known = offered(CASE, "cpu")
    both = combined("float-first+one-logit", known)
    assert (both.name, both.steps) == ("float-first+one-logit", ("float-first", "one-logit"))
    with pytest.raises(ValueError, match="no variant 'level-5' of this case; there are one-logit, float-first"):
        combined("one-logit+level-5", known)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--backend", "torch"], "torch-int8-b1: "),
        (
            ["--backend", "torch", "--precision", "fp32", "--variants", "level-5"],
            "torch-fp32-b1: no variant 'level-5' of this case; there are channels-last",
        ),
        (
            ["--backend", "openvino", "--variants", "fast"],
            "openvino-int8-b1: no variant 'fast' of this case; there",
        ),
        (["--backend", "openvino", "--image-size", "100"], "openvino-int8-b1: the U-Net halves its input"),
    ],
)
def test_what_cannot_be_tried_ends_the_command_with_its_reason(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    assert main(["variants", "--device", "cpu", *arguments]) == 2
    assert capsys.readouterr().err.startswith(says)


def test_a_backend_that_offers_nothing_is_told(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.variants, "load_trials", lambda name: None)
    assert main(["variants", "--device", "cpu", "--backend", "torch", "--precision", "fp32"]) == 2
    told = "torch-fp32-b1: nothing to try: torch builds from no graph, and offers nothing\n"
    assert capsys.readouterr().err == told


def test_the_command_prints_a_line_per_variant_and_writes_what_it_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = tried(tmp_path, "float-last")
    found.append(Tried("hopeless", fault="no [kernel] for this"))
    monkeypatch.setattr("bench.commands.variants.try_variants", lambda *_, **__: found)
    monkeypatch.setattr("bench.commands.variants.reference_masks", lambda *_: None)
    out = tmp_path / "variants.json"
    arguments = ["--cache-dir", str(tmp_path), "--image-size", "64", "--json", str(out), "--variants", "float-last"]
    assert main(["variants", "--backend", "openvino", "--batch-size", "2", "--device", "cpu", *arguments]) == 0
    text = capsys.readouterr().out
    assert "- hopeless: no [kernel] for this" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    figures = found[1].figures
    assert figures is not None
    assert lines["float-last"][1] == f"{figures.fps:.1f}"
    record = json.loads(out.read_text(encoding="utf-8"))
    assert (record["case"], record["size"]) == ("openvino-int8-b2", [64, 64])
    assert record["versions"].keys() == {"openvino"}
    rows = record["variants"]
    assert [row["name"] for row in rows] == ["plain", "float-last", "hopeless"]
    ratios = np.asarray(rows[0]["figures"]["seconds"]) / np.asarray(rows[1]["figures"]["seconds"])
    assert rows[1]["figures"]["ratio"] == pytest.approx(float(np.median(ratios)))
    assert rows[2] == {"name": "hopeless", "figures": None, "fault": "no [kernel] for this"}
    assert main(["variants", "--from", str(out)]) == 0
    title, *table = capsys.readouterr().out.splitlines()
    assert title.startswith(f"{out}: unet-small, ")
    assert table == text.splitlines()[-len(table) :]


def test_what_is_no_file_of_variants_is_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for content in ("no JSON", "[]", '{"case": "openvino-int8-b2", "turns": 3, "variants": [{"name": "plain"}]}'):
        (tmp_path / "other.json").write_text(content)
        assert main(["variants", "--from", str(tmp_path / "other.json")]) == 2
        assert capsys.readouterr().err.startswith(f"{tmp_path / 'other.json'}: not a file that --json wrote")


def test_the_files_of_variants_in_docs_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    files = sorted(str(path) for path in (ROOT / "docs" / "variants").glob("*.json"))
    assert main(["variants", "--from", *files]) == 0
    assert capsys.readouterr().out.count("\nplain ") == len(files)
