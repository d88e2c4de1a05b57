"""Write a report of one or several runs: an HTML page, or Markdown for a pull request."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench.baseline import FOLDER, BaselineError, load_baseline
from bench.gate import judge_run
from bench.page.facts import Limits, facts
from bench.page.render import html, markdown
from bench.results import RunFileError, read_run

if TYPE_CHECKING:
    import argparse

_RENDER = {".html": html, ".md": markdown}


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="file written by pytest --benchmark-json")
    parser.add_argument("--baseline", type=Path, help="baseline file (default: the one of the machine each run names)")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help="report.html or report.md")
    parser.add_argument("--min-dice", type=float, metavar="D", help="recommend no engine whose worst image is below")
    parser.add_argument("--max-latency-ms", type=float, metavar="MS", help="recommend no engine slower for a batch")
    parser.add_argument("--max-memory", type=float, metavar="MIB", help="recommend no engine that takes more memory")


def run(options: argparse.Namespace) -> int:
    """Write the report; 0, or 2 where a file cannot be read or written."""
    try:
        if options.out.suffix not in _RENDER:
            msg = f"--out {options.out}: the name must end in .html or .md"
            raise BaselineError(msg)
        if options.baseline and not options.baseline.exists():
            msg = f"{options.baseline}: no such baseline file"
            raise BaselineError(msg)
        judged = []
        for path in options.runs:
            found = read_run(path)
            baseline = load_baseline(options.baseline or FOLDER / f"{found.suite['machine']['id']}.json")
            judged.append((path.name, found, judge_run(found, baseline)))
        limits = Limits(options.min_dice, options.max_latency_ms, options.max_memory)
        _write(options.out, _RENDER[options.out.suffix](facts(judged, limits)))
    except (RunFileError, BaselineError, OSError) as error:
        print(f"cannot report: {error}", file=sys.stderr)
        return 2
    print(f"wrote {options.out}")
    return 0


def _write(path: Path, text: str) -> None:
    """Write a file in one step."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".report-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
