"""What the documents say that can be checked: commands, options, files, error messages, and a worked example."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
FILES = ("README.md", "CONTRIBUTING.md", "docs/ci.md")
_COMMAND = re.compile(r"(make|pytest|python|pip|git|eval|\.ci/\w+)\b")
_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^ {4}.*\n)+", re.MULTILINE)
_SPAN = re.compile(r"`([^`]+)`")


def text(name: str) -> str:
    """Return a document."""
    return (ROOT / name).read_text(encoding="utf-8")


def example() -> str:
    """Return the worked example of CONTRIBUTING.md: a whole backend file."""
    (found,) = (body for language, body in _FENCED.findall(text("CONTRIBUTING.md")) if language == "python")
    return str(found)


def commands(name: str) -> list[str]:
    """Return every command of a document, on one line and without its comment.

    Commands are the lines of indented blocks, and what is quoted in a sentence and begins as a command does, unless it
    only begins another command of the document.
    """
    prose = _FENCED.sub("", text(name))
    found = []
    for block in _INDENTED.findall(prose):
        lines = block.replace("\\\n", " ").splitlines()
        found += [" ".join(re.split(r"\s+#\s", line)[0].split()) for line in lines if _COMMAND.match(line.strip())]
    quoted = [span for span in _spans(prose) if _COMMAND.match(span)]
    every = [*found, *quoted]
    found += [span for span in quoted if not any(each.startswith(f"{span} ") for each in every)]
    return list(dict.fromkeys(found))


def blocks(name: str) -> list[str]:
    """Return the lines of a document's indented blocks that are no command."""
    prose = _FENCED.sub("", text(name))
    lines = [line.strip() for block in _INDENTED.findall(prose) for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if not _COMMAND.match(line)]


def _spans(prose: str) -> list[str]:
    """Return what is quoted in sentences, on one line each."""
    return [" ".join(span.split()) for span in _SPAN.findall(_INDENTED.sub("", prose))]


def options(name: str) -> set[str]:
    """Return every long option that a document names."""
    return set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text(name)))


def files(name: str) -> set[str]:
    """Return what a document quotes or links to and that looks like a file or a folder of the repository."""
    prose = _FENCED.sub("", text(name))
    quoted = {span for span in _spans(prose) if re.fullmatch(r"[\w./-]+", span)}
    linked = set(re.findall(r"\]\(([^)#:]+)\)", prose))
    return {each for each in quoted if "/" in each or re.search(r"\.(py|md|txt|toml|json|yml)$", each)} | linked


def messages() -> list[str]:
    """Return the messages of README's table of troubles."""
    table = text("README.md").partition("## When something goes wrong")[2]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)
