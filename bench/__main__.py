"""`python -m bench COMMAND`: what can be done with runs and baselines beside pytest."""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from pathlib import Path
from typing import Protocol, cast

_COMMANDS = Path(__file__).parent / "commands"


class Command(Protocol):
    """What a module in `bench/commands/` defines; its docstring's first line is its help."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it, and return the exit status."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status; 2 also for a wrong command line."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    parsers = {name: commands.add_parser(name, help=text, description=text) for name, text in summaries().items()}
    if not given or given[0] not in parsers:
        parser.parse_args(given)  # Prints the help, or what is wrong, and ends.
    # Only the command that runs is imported: the gate needs no torch, others do.
    command = cast("Command", importlib.import_module(f"bench.commands.{given[0]}"))
    command.configure(parsers[given[0]])
    return command.run(parser.parse_args(given))


def summaries() -> dict[str, str]:
    """Return each command's name and the first line of its file's docstring, without importing it."""
    files = sorted(path for path in _COMMANDS.glob("*.py") if not path.stem.startswith("_"))
    docs = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in files}
    return {name: (doc or "").partition("\n")[0].replace("%", "%%") for name, doc in docs.items()}


if __name__ == "__main__":
    sys.exit(main())
