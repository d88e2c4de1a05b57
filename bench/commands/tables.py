"""Print the results tables of runs, put them into a document, or store a run for them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench.outputs import write_whole
from bench.results import RunFileError
from bench.tables import TablesError, compact, placed, section

if TYPE_CHECKING:
    import argparse

ROOT = Path(__file__).parents[2]
STORED = ROOT / "docs" / "runs"
"""Where the runs lie that the README shows."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("runs", type=Path, nargs="*", metavar="RUN.json", help="(default: those in docs/runs/)")
    parser.add_argument("--readme", type=Path, metavar="FILE", help="replace what stands between its two markers")
    parser.add_argument("--check", action="store_true", help="with --readme: change nothing, exit 1 where it differs")
    parser.add_argument("--store", type=Path, metavar="FILE", help="store the one run given, in short form, and end")


def run(options: argparse.Namespace) -> int:
    """Print or place the tables; 1 where --check finds another text, 2 where files or options cannot be used."""
    try:
        _check_options(options)
        paths = options.runs or stored()
        if options.store is not None:
            return _store(options.runs, options.store)
        if not paths:
            msg = (
                f"no runs: give some, or store one (python -m bench tables RUN.json --store {_shown(STORED)}/NAME.json)"
            )
            raise TablesError(msg)
        text = section(paths, _shown)
        if options.readme is None:
            print(text)
            return 0
        old = options.readme.read_text(encoding="utf-8")
        new = placed(old, text, str(options.readme))
        if options.check:
            return _differ(options.readme) if new != old else 0
        write_whole(options.readme, new.encode())
    except (RunFileError, TablesError, OSError) as error:
        print(f"no tables: {error}", file=sys.stderr)
        return 2
    print(f"wrote the results of {len(paths)} run{'s' if len(paths) > 1 else ''} into {options.readme}")
    return 0


def _check_options(options: argparse.Namespace) -> None:
    """Raise `TablesError` where an option would do nothing."""
    if options.store is not None and (options.readme is not None or options.check):
        msg = "--store keeps a run and makes no tables: give --readme and --check without it"
        raise TablesError(msg)
    if options.check and options.readme is None:
        msg = "--check needs --readme FILE, such as README.md: the document that is to show what the runs give"
        raise TablesError(msg)


def stored() -> list[Path]:
    """Return the runs in `docs/runs/`, by name."""
    return sorted(STORED.glob("*.json"))


def _store(runs: list[Path], out: Path) -> int:
    if len(runs) != 1:
        msg = f"--store keeps one run; {len(runs)} were given"
        raise TablesError(msg)
    text = compact(runs[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(out, text.encode())
    print(f"wrote {out}, {len(text.encode()) / 1e3:.0f} kB")
    return 0


def _differ(readme: Path) -> int:
    print(f"{readme}: its results are not those of the runs: python -m bench tables --readme {readme}", file=sys.stderr)
    return 1


def _shown(path: Path) -> str:
    """Return a path as a document names it: from the repository's root where it lies there."""
    full = path.resolve()
    return full.relative_to(ROOT).as_posix() if full.is_relative_to(ROOT) else path.name
