"""Files that commands write: seen to be possible before the work, and there whole or not at all after it."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def unwritable(path: Path) -> str | None:
    """Return in words why no file can be written at a path, found out before the work that it is to hold, or None."""
    if path.is_dir():
        return "this is a folder; name a file to write"
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    # Permissions do not tell all: no file can be made in /proc, whoever asks.
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            return None
    except OSError:
        return f"the folder {path.parent} cannot be written"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
