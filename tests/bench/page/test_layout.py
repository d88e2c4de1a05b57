"""The page fits its window, from a phone to a desktop and on paper, and is readable in both schemes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from bench.case import parse_case
from bench.gate import judge_run
from bench.page.facts import Judged, Limits, facts
from bench.page.render import write_report
from tests.bench.page.browser import DESKTOP, PHONE, ROWS, shown, visit
from tests.bench.page.rich import INT8, hostile, rich_run, written
from tests.bench.runs import MACHINE, baseline_of, row_json, run_of, scores

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from bench.page.values import Facts


_CONTRAST = """() => {
  const light = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).slice(0, 3).map(Number)
      .map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const paper = light(getComputedStyle(document.body).backgroundColor);
  const ratio = colour => {
    const ink = light(colour);
    return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
  };
  const found = {};
  for (const name of ["body", ".quiet", "a", "td", "figcaption", ".REGRESSION", ".NO_BASELINE"])
    for (const each of document.querySelectorAll(name)) found[name] = ratio(getComputedStyle(each).color);
  for (const each of document.querySelectorAll(".plot text")) found["plot text"] = ratio(getComputedStyle(each).fill);
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_plots_are_readable_in_both_schemes(
    browser: Browser, tmp_path: Path, scheme: Literal["light", "dark"]
) -> None:
    low = row_json("torch-int8-b1", dice_fp32=scores([[0.99, 0.9]] * 3))
    with visit(browser, written(tmp_path, rich_run(), run_of(low)), scheme=scheme) as found:
        contrast: dict[str, float] = found.page.evaluate(_CONTRAST)
        # WCAG 2.2, 1.4.3: at least 4.5 to 1.
        assert {name: value for name, value in contrast.items() if value < 4.5} == {}
        assert contrast.keys() >= {"body", "td", ".REGRESSION", "plot text"}
        paper = found.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[scheme]


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_nothing_runs_out_of_the_window(browser: Browser, tmp_path: Path, size: tuple[int, int]) -> None:
    gpu = {**MACHINE, "id": "nvidia-h200-141gb-hbm3e", "gpu": "NVIDIA H200"}
    for runs in ([rich_run()], [rich_run(), run_of(row_json(INT8), machine=gpu)], [hostile()]):
        with visit(browser, written(tmp_path, *runs), size) as found:
            assert found.page.evaluate("document.documentElement.scrollWidth") <= size[0]


def fast() -> Facts:
    """Return the facts of a run with long names, FPS of four digits and verdicts that take room."""
    names = ("torch-fp32", "tensorrt_weak-int8-entropy", "torch2trt-int8-uncalibrated", "tensorrt-int8-percentile")
    cases = [f"{name}-b{size}" for name in names for size in (1, 16)]
    noisy = {case: [parse_case(case).batch_size / fps for fps in (9_876.5, 8_888.8, 10_123.4)] for case in cases}
    rows = [
        row_json(case, 9_876.5, samples_s=noisy[case], speedup=137.25, build_s=1234.5, peak_memory_bytes=35_662 * 2**20)
        for case in cases
    ]
    for row in rows:
        row["extra_info"]["dice_fp32"]["worst_image"] = "2029-11-30 section 0123 of the second block.png"
    run = run_of(*rows)
    slow = [row_json(case, 9_000.0) for case in cases[2:]]
    baseline = baseline_of(row_json(cases[0], 11_000.0), row_json(cases[1]), *slow, apart=(0.8, 1.0, 1.25))
    return facts([Judged("run.json", run, judge_run(run, baseline), baseline)], Limits())


@pytest.mark.parametrize("width", [1280, 1024, 1023, 768, 390])
def test_no_width_scrolls_the_cases_sideways(browser: Browser, tmp_path: Path, width: int) -> None:
    path = tmp_path / "report.html"
    write_report(path, fast())
    with visit(browser, path, (width, 900)) as found:
        page = found.page
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        wide = "all => all.filter(e => e.scrollWidth > e.clientWidth && e.querySelector('.cases')).length"
        assert page.eval_on_selector_all(".wide", wide) == 0
        right: float = page.eval_on_selector_all(
            ".cases td, .cases th", "all => Math.max(...all.map(e => e.getBoundingClientRect().right))"
        )
        assert right <= width
        # Not squeezed into it either: no figure runs into the next one, no word is broken.
        ran_over = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent)"
        assert page.eval_on_selector_all(".cases td, .cases th", ran_over) == []
        page.get_by_label("Filter").fill("tensorrt_weak b16")
        page.get_by_role("button", name="MiB", exact=True).click()
        assert page.locator("th[aria-sort]").count() == 1
        assert shown(page) == ["tensorrt_weak-int8-entropy-b16"]
        text = page.locator(ROWS).locator("visible=true").inner_text()
        for figure in ("9876.5", "8888.8 to 10123.4", "137.25x", "35662", "1234.5", "INCONCLUSIVE"):
            assert figure in text, figure


def test_a_card_s_figures_have_their_columns_names(browser: Browser, rich: Path) -> None:
    with visit(browser, rich, PHONE) as found:
        heads = found.page.locator(".cases th button").all_text_contents()
        names: list[str] = found.page.eval_on_selector(ROWS, "row => [...row.cells].map(c => c.dataset.name)")
        assert names == [{"against the baseline": "change"}.get(head, head) for head in heads]
        told = "row => getComputedStyle(row.cells[2], '::before').content"
        assert found.page.eval_on_selector(ROWS, told) == '"FPS"'


def test_print_is_light_without_tools_and_with_everything_unfolded(browser: Browser, rich: Path) -> None:
    with visit(browser, rich, scheme="dark") as found:
        page = found.page
        page.emulate_media(media="print", color_scheme="dark")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert not page.get_by_label("Filter").is_visible()
        assert page.locator(".strip strong").is_visible()
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert page.eval_on_selector_all("details", "all => all.length > 0 && all.every(d => d.open)")
        assert page.pdf().startswith(b"%PDF")
