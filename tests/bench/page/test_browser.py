"""The page in a browser: it sorts, filters and zooms, renders any run, shows hostile names as they are, asks nobody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.bench.page.browser import ROWS, shown, visit
from tests.bench.page.rich import CASES, FPS, HOSTILE, INT8, hostile, rich_run, written
from tests.bench.runs import MACHINE, row_json, run_of

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from bench.results import Run


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


@pytest.mark.parametrize("scripts", [True, False])
def test_what_only_a_script_can_do_is_offered_where_one_runs(browser: Browser, rich: Path, *, scripts: bool) -> None:
    with visit(browser, rich, scripts=scripts) as found:
        for offered in ("input[type=search]", ".zoom button.in", ".zoom output", "text=Click a picture to zoom in"):
            assert found.page.locator(offered).first.is_visible() is scripts, offered
        for told in ("text=Differences:", ".strip strong", ".pane img", "table.cases td"):
            assert found.page.locator(told).first.is_visible(), told


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
