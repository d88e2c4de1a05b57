# PYTHON_ARGCOMPLETE_OK
"""Work with runs, baselines and engines outside pytest: `python -m bench COMMAND`."""

from __future__ import annotations

import argparse
import ast
import importlib
import io
import os
import sys
from pathlib import Path
from typing import Protocol, cast

from bench.cache import CacheError
from bench.ending import sigterm_as_ctrl_c
from bench.status import INTERRUPTED

_COMMANDS = Path(__file__).parent / "commands"
_EPILOG = "`python -m bench COMMAND --help` lists a command's options. CONTRIBUTING.md says how a shell completes them."
_ARGCOMPLETE = "_ARGCOMPLETE"
"""Set by a shell that wants this command line completed."""


class Command(Protocol):
    """What a module in `bench/commands/` defines; its docstring's first line is its help."""

    def configure(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's arguments."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it, and return the exit status."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit status: 2 also for a wrong command line, 130 after Ctrl-C or SIGTERM."""
    with sigterm_as_ctrl_c():
        return _run(arguments)


def _run(arguments: list[str] | None) -> int:
    given = sys.argv[1:] if arguments is None else arguments
    completing = _ARGCOMPLETE in os.environ
    name = (_being_typed() if completing else given)[:1]
    told = " ".join(["bench", *name])
    try:
        parser = command_line(name[0] if name else None)  # Imports the command, which may take seconds.
        if completing:
            import argcomplete  # noqa: PLC0415 - only a shell that completes a line needs it

            argcomplete.autocomplete(parser)
        options = parser.parse_args(given)  # Ends here, with the help or what is wrong, unless there is a command.
        return _command(options.command).run(options)
    except CacheError as error:
        sys.stderr.write(f"{told}: {error}\n")
        return 2
    except (KeyboardInterrupt, ImportError) as error:
        # A library whose import Ctrl-C meets may fail with an error of its own.
        if isinstance(error, ImportError) and not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        sys.stderr.write(f"stopped: {told}\n")
        return INTERRUPTED


def command_line(name: str | None) -> argparse.ArgumentParser:
    """Return the parser of all commands, with the arguments of one of them.

    Only that command is imported: the gate needs no torch, others do.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__, epilog=_EPILOG)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for each, text in summaries().items():
        added = commands.add_parser(each, help=text, description=text)
        if each == name:
            _command(each).configure(added)
    return parser


def _command(name: str) -> Command:
    return cast("Command", importlib.import_module(f"bench.commands.{name}"))


def _being_typed() -> list[str]:
    """Return the words after `python -m bench` on the line that a shell completes."""
    words = os.environ.get("COMP_LINE", "").split()
    return words[words.index("bench") + 1 :] if "bench" in words else []


def summaries() -> dict[str, str]:
    """Return each command's name and the first line of its file's docstring, without importing it."""
    files = sorted(path for path in _COMMANDS.glob("*.py") if not path.stem.startswith("_"))
    docs = {path.stem: ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) for path in files}
    return {name: (doc or "").partition("\n")[0].replace("%", "%%") for name, doc in docs.items()}


def _enough() -> int:
    """Return the exit status of a command whose reader has seen enough, such as `| head`."""
    # What is still in the buffer has nowhere to go: Python would complain of it at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files may be no text in any encoding; standard error shows such as well.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        status = main()
        sys.stdout.flush()
    except BrokenPipeError:
        status = _enough()
    sys.exit(status)
