"""`python -m bench --help` tells all there is to know of every command, and a shell can complete the line."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

import models.train
from bench.__main__ import command_line, summaries

ROOT = Path(__file__).parents[2]
LEAST = len("calibrate")
"""A help text is at least a word or two."""


def parsers(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    """Return a parser and those of its subcommands."""
    found = [parser]
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for each in action.choices.values():
                found += parsers(each)
    return found


def of_command(name: str) -> argparse.ArgumentParser:
    """Return the parser of one command of `python -m bench`."""
    (commands,) = (each for each in command_line(name)._actions if isinstance(each, argparse._SubParsersAction))
    parser: argparse.ArgumentParser = commands.choices[name]
    return parser


@pytest.mark.parametrize("name", summaries())
def test_every_argument_of_every_command_has_a_help_text(name: str) -> None:
    for parser in parsers(of_command(name)):
        for action in parser._actions:
            if not isinstance(action, argparse._SubParsersAction):
                assert len(action.help or "") >= LEAST, f"{parser.prog} {action.option_strings or action.dest}"
        assert parser.format_help()


@pytest.mark.parametrize("name", summaries())
def test_help_of_a_command_fits_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for parser in parsers(of_command(name)):
        assert max(map(len, parser.format_help().splitlines())) <= 80


def test_every_option_of_training_has_a_help_text() -> None:
    for action in models.train._parser()._actions:
        assert len(action.help or "") >= LEAST, action.option_strings


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("python -m bench ga", ["gate"]),
        ("python -m bench gate --ann", ["--annotate"]),
        ("python -m bench gate run.json --annotate ", ["github"]),
        ("python -m bench baseline acc", ["accept"]),
    ],
)
def test_shell_completes_commands_options_and_values(tmp_path: Path, line: str, words: list[str]) -> None:
    answer = tmp_path / "answer"
    typed = {
        "_ARGCOMPLETE": "3",  # the program is three words
        "_ARGCOMPLETE_STDOUT_FILENAME": str(answer),
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
    }
    subprocess.run([sys.executable, "-m", "bench"], cwd=ROOT, env={**os.environ, **typed}, check=True)
    assert [word.strip() for word in answer.read_text().splitlines()] == words
