"""Change a stored baseline, the only way there is: accept runs, waive a loss, pin an anchor, drop a case, show it."""

from __future__ import annotations

import argparse
import getpass
import sys
from datetime import date, datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock
from rich.console import Console

from bench.accept import AcceptError, accept, dropped, narrowed, pinned, waived
from bench.baseline import FOLDER, BaselineError, load_baseline, save_baseline
from bench.entries import Acceptance, Waiver
from bench.judged_runs import read_judged
from bench.report import WIDTH
from bench.results import RunFileError
from bench.spread_table import shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.entries import Baseline


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    taking = actions.add_parser("accept", help="store three or more runs as the machine's baseline")
    taking.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="files of pytest bench/ --benchmark-json")
    taking.add_argument("--cases", metavar="CASE,...", help="store these alone (default: every case the runs measured)")
    waiving = actions.add_parser("waive", help="tolerate a known loss of FPS until a day")
    waiving.add_argument("case", metavar="CASE", help="a case, such as openvino-int8-b4")
    waiving.add_argument("--limit", type=float, required=True, help="loss of FPS tolerated, as a share")
    waiving.add_argument("--expires", type=_day, required=True, help="last day it holds, such as 2030-12-31")
    pinning = actions.add_parser("pin", help="make cases' present record the anchor that drift is counted from")
    dropping = actions.add_parser("drop", help="forget cases, which are then no longer missed")
    for each in (pinning, dropping):
        each.add_argument("cases", nargs="+", metavar="CASE", help="cases, such as openvino-int8-b4")
    taking.add_argument("--reason", default="", help="why; needed where the runs are worse than the baseline")
    waiving.add_argument("--reason", default="", help="why; needed")
    for each in (taking, waiving):
        each.add_argument("--who", default=None, help="who decides (default: the user's name)")
    for each in (waiving, pinning, dropping):
        each.add_argument("--baseline", type=Path, required=True, metavar="FILE", help="baseline file")
    taking.add_argument(
        "--baseline", type=Path, metavar="FILE", help="baseline file (default: the one of the machine the runs name)"
    )
    showing = actions.add_parser("show", help="print each case's speed and how far its runs and builds lie apart")
    showing.add_argument(
        "--baseline", type=Path, metavar="FILE", help="baseline file (default: each in fixtures/baselines)"
    )


def run(options: argparse.Namespace) -> int:
    """Do it, and return 0, or 2 where it was refused."""
    try:
        if options.action == "show":
            return _show(options.baseline)
        path, baseline = _accepted(options) if options.action == "accept" else _edited(options)
    except (AcceptError, BaselineError, RunFileError) as error:
        print(f"refused: {error}", file=sys.stderr)
        return 2
    print(f"{path}: {len(baseline.entries)} entries, {len(baseline.waivers)} waivers; read its diff, then commit it")
    newest = max((entry.current.accepted.when for entry in baseline.entries.values()), default="")
    now = [entry for entry in baseline.entries.values() if entry.current.accepted.when == newest]
    alone = [entry.case for entry in now if len(entry.builds) == 1]
    if options.action == "accept" and alone:
        print(
            f"{len(alone)} of these cases were one engine in every run ({alone[0]} for one): where a builder is not"
            " deterministic, runs with a --cache-dir each (make baseline FRESH=1) store how far its builds differ"
        )
    return 0


def _accepted(options: argparse.Namespace) -> tuple[Path, Baseline]:
    runs = [read_judged(path) for path in options.runs]
    if options.cases is not None:
        runs = narrowed(runs, options.cases.split(","))
    path = options.baseline or FOLDER / f"{runs[0].suite['machine']['id']}.json"
    accepted = _acceptance(options, str(runs[0].suite.get("commit", "unknown")))
    return path, _stored(path, lambda: accept(load_baseline(path), runs, accepted))


def _edited(options: argparse.Namespace) -> tuple[Path, Baseline]:
    path = options.baseline
    _held(path)
    return path, _stored(path, lambda: _changed(options, _held(path)))


def _changed(options: argparse.Namespace, baseline: Baseline) -> Baseline:
    if options.action == "pin":
        return pinned(baseline, options.cases)
    if options.action == "drop":
        return dropped(baseline, options.cases)
    if not options.reason.strip():
        msg = 'waive needs --reason "..."'
        raise AcceptError(msg)
    if not 0 < options.limit < 1:
        msg = f"--limit {options.limit:g}: must be a share between 0 and 1"
        raise AcceptError(msg)
    expires = options.expires.isoformat()
    if expires < datetime.now(timezone.utc).date().isoformat():
        msg = f"--expires {expires}: that day is over"
        raise AcceptError(msg)
    return waived(baseline, Waiver(options.case, options.limit, options.reason, expires, _who(options)))


def _acceptance(options: argparse.Namespace, commit: str) -> Acceptance:
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return Acceptance(_who(options), now, options.reason.strip(), commit)


def _who(options: argparse.Namespace) -> str:
    """Return who decides; `AcceptError` where nobody is named and the user has no name, as in some containers."""
    try:
        return str(options.who or getpass.getuser())
    except (KeyError, OSError) as error:
        msg = "this user has no name here: give --who NAME"
        raise AcceptError(msg) from error


def _stored(path: Path, made: Callable[[], Baseline]) -> Baseline:
    """Write what is made of the file as it is, and return it; `BaselineError` where that cannot be written.

    Two at once would each write what the other has not: the second waits for the first.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(f".{path.name}.lock")):
            baseline = made()
            save_baseline(baseline, path)
    except OSError as error:
        msg = f"{path}: it cannot be written ({error.strerror})"
        raise BaselineError(msg) from error
    return baseline


def _held(path: Path) -> Baseline:
    baseline = load_baseline(path)
    if baseline is None:
        msg = f"{path}: no such baseline file"
        raise BaselineError(msg)
    return baseline


def _show(path: Path | None) -> int:
    """Print one baseline file or all that are stored, which are read before anything is printed."""
    paths = [path] if path else sorted(FOLDER.glob("*.json"))
    if not paths:
        msg = f"no baseline file in {FOLDER}: name one (--baseline FILE)"
        raise BaselineError(msg)
    console = Console(width=WIDTH, highlight=False, markup=False, emoji=False)
    for number, baseline in enumerate([_held(each) for each in paths]):
        for part in (*([""] if number else []), *shown(baseline)):
            console.print(part, soft_wrap=isinstance(part, str))
    return 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        msg = f"{text!r} is no day; write it as 2030-12-31"
        raise argparse.ArgumentTypeError(msg) from error
