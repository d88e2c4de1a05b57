"""The page in a browser: it sorts, filters, zooms, prints, fits a phone, is readable in both schemes, asks nobody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

import pytest

from bench.case import parse_case
from bench.gate import judge_run
from bench.page.facts import Judged, Limits, facts
from bench.page.render import write_report
from tests.bench.page.browser import DESKTOP, PHONE, chromium, visit
from tests.bench.page.rich import CASES, FPS, INT8, facts_of, pictures_json, rich_run, roofline_json
from tests.bench.runs import IMAGES, MACHINE, baseline_of, row_json, run_of, scores

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from bench.page.values import Facts
    from bench.results import Run

HOSTILE = '<img src=x onerror="alert(1)"><script>alert(2)</script>\'"&$x^$|`'
ROWS = "table.cases tbody tr"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


def written(folder: Path, *runs: Run) -> Path:
    """Return the page of some runs as a file."""
    path = folder / "report.html"
    write_report(path, facts_of(*runs))
    return path


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with everything in it."""
    return written(tmp_path_factory.mktemp("page"), rich_run())


def shown(page: Page) -> list[str]:
    """Return the cases of the table as they stand, hidden ones left out."""
    found: list[str] = page.eval_on_selector_all(
        ROWS, "rows => rows.filter(r => !r.hidden).map(r => r.cells[0].textContent)"
    )
    return found


def hostile() -> Run:
    """Return a run in which every name that a user gives is hostile."""
    worst = {**scores([[0.999, 0.995], [0.998, 0.99], [0.999, 0.992]]), "worst_image": HOSTILE}
    names = [IMAGES[0], HOSTILE, IMAGES[2]]
    return run_of(
        row_json(INT8, dice_fp32=worst, images=names),
        roofline=roofline_json(INT8, HOSTILE),
        pictures=pictures_json({INT8: 1}, names),
        failed={HOSTILE: HOSTILE},
        skipped={HOSTILE + "2": HOSTILE},
        command=HOSTILE,
        machine={**MACHINE, "cpu": HOSTILE},
    )


def test_columns_sort_by_their_figures_and_turn_round(browser: Browser, rich: Path) -> None:
    with visit(browser, rich) as found:
        page = found.page
        by_fps = sorted(CASES, key=lambda case: -FPS[case])
        page.get_by_role("button", name="FPS", exact=True).click()
        assert shown(page) == by_fps
        assert page.locator("th[aria-sort]").get_attribute("aria-sort") == "descending"
        page.get_by_role("button", name="FPS", exact=True).click()
        assert shown(page) == by_fps[::-1]
        page.get_by_role("button", name="case", exact=True).click()
        assert shown(page) == sorted(CASES)
        assert page.locator("th[aria-sort]").count() == 1


def test_what_has_no_figure_stays_below_whichever_way_a_column_is_sorted(browser: Browser, tmp_path: Path) -> None:
    rows = [row_json("torch-fp32-b1", peak_memory_bytes=None), row_json(INT8, peak_memory_bytes=2**30)]
    rows.append(row_json("openvino-fp32-b1", peak_memory_bytes=2**28))
    with visit(browser, written(tmp_path, run_of(*rows))) as found:
        for order in ([INT8, "openvino-fp32-b1"], ["openvino-fp32-b1", INT8]):
            found.page.get_by_role("button", name="MiB", exact=True).click()
            assert shown(found.page) == [*order, "torch-fp32-b1"]


def test_filter_keeps_the_rows_that_hold_every_word(browser: Browser, rich: Path) -> None:
    with visit(browser, rich) as found:
        page = found.page
        box, count = page.get_by_label("Filter"), page.locator(".tools output").first
        assert count.text_content() == "5 of 5 cases"
        box.fill("INT8 b1")
        assert shown(page) == [INT8]
        assert count.text_content() == "1 of 5 cases"
        box.fill("nothing like it")
        assert shown(page) == []
        box.fill("")
        assert len(shown(page)) == 5


def scale(page: Page) -> set[str]:
    """Return by how much the panes' pictures are enlarged."""
    text = "images => images.map(i => getComputedStyle(i).transform)"
    found: list[str] = page.eval_on_selector_all(".strip .pane img", text)
    return {(match[1] if (match := re.match(r"matrix\(([\d.]+)", each)) else "1") for each in found}


def test_pictures_of_a_row_zoom_and_move_together(browser: Browser, rich: Path) -> None:
    with visit(browser, rich) as found:
        page = found.page
        strip = page.locator(".strip")
        assert strip.locator("figcaption").all_text_contents() == [
            "input", "truth", "FP32 mask", f"{INT8} mask", "where they differ",
        ]  # fmt: skip
        assert page.eval_on_selector_all(".pane img", "all => all.every(i => i.complete && i.naturalWidth === 64)")
        strip.get_by_role("button", name="zoom in", exact=True).click()
        assert scale(page) == {"2"}
        box = strip.locator(".pane").last.bounding_box()
        assert box is not None
        page.mouse.click(box["x"] + 5, box["y"] + 5)
        assert scale(page) == {"4"}
        before = strip.evaluate("s => s.style.getPropertyValue('--x')")
        page.mouse.move(box["x"] + 50, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + 90, box["y"] + 50, steps=4)
        page.mouse.up()
        assert scale(page) == {"4"}
        after = strip.evaluate("s => s.style.getPropertyValue('--x')")
        # Dragging to the right shows what lies to the left.
        assert float(after[:-1]) < float(before[:-1])
        strip.get_by_role("button", name="where most differs").click()
        assert scale(page) == {"6"}
        strip.get_by_role("button", name="whole").click()
        assert scale(page) == {"1"}


def test_click_on_a_picture_enlarges_the_place_that_was_clicked(browser: Browser, rich: Path) -> None:
    with visit(browser, rich) as found:
        pane = found.page.locator(".pane").first
        pane.scroll_into_view_if_needed()
        box = pane.bounding_box()
        assert box is not None
        found.page.mouse.click(box["x"] + box["width"] * 0.25, box["y"] + box["height"] * 0.75)
        x, y = (found.page.locator(".strip").evaluate(f"s => s.style.getPropertyValue('--{axis}')") for axis in "xy")
        assert float(x[:-1]) == pytest.approx(25, abs=1)
        assert float(y[:-1]) == pytest.approx(75, abs=1)


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


def many() -> Run:
    return run_of(*(row_json(f"openvino-int8-b{size}", fps=float(size)) for size in range(1, 301)))


@pytest.mark.parametrize(
    ("run", "rows"),
    [
        (run_of(row_json(INT8)), 1),
        (many(), 300),
        (run_of(failed={INT8: "out of memory"}), 0),
        (run_of(), 0),
    ],
    ids=["one case", "300 cases", "failures only", "nothing"],
)  # fmt: skip
def test_runs_of_any_size_render(browser: Browser, tmp_path: Path, run: Run, rows: int) -> None:
    with visit(browser, written(tmp_path, run)) as found:
        assert found.page.locator(ROWS).count() == rows
        assert found.page.locator("h1").text_content()
        assert "To repeat it" in (found.page.text_content("body") or "")


def test_hostile_names_are_shown_as_they_are_and_do_nothing(browser: Browser, tmp_path: Path) -> None:
    with visit(browser, written(tmp_path, hostile())) as found:
        page = found.page
        page.wait_for_timeout(200)
        assert page.locator("script").count() == 1
        assert page.locator("img[src=x]").count() == 0
        assert HOSTILE in (page.text_content(".attention") or "")
        assert HOSTILE in (page.text_content("dl") or "")
        tips: list[Any] = page.eval_on_selector_all(".plot title", "all => all.map(t => t.textContent)")
        assert any(HOSTILE in tip for tip in tips)


def test_fleet_has_a_column_per_machine(browser: Browser, tmp_path: Path) -> None:
    gpu = {**MACHINE, "id": "h200", "gpu": "NVIDIA H200"}
    with visit(browser, written(tmp_path, rich_run(), run_of(row_json(INT8), machine=gpu))) as found:
        heads = found.page.locator("table.fleet th").all_text_contents()
        assert heads == ["case", MACHINE["id"], "h200"]
        assert found.page.locator("table.fleet td.none").count() == len(CASES) - 1
        assert found.page.locator("table.schemes").count() == 1
        found.page.locator("a", has_text="h200").click()
        assert found.page.url.endswith("#r2")
        ids: list[str] = found.page.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
        assert len(ids) == len(set(ids))


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
