"""Masks as PNG files: written by threads, each file whole or not there, and none twice."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread, get_native_id
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from bench.outputs import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from numpy.typing import NDArray

RECORD = "stream.json"
"""The file in the folder of masks that says what made them."""
_LOCK = ".stream.lock"
_LOWEST_PRIORITY = 19
_WHITE = 255


class FolderError(ValueError):
    """A folder of masks that cannot be written or gone on with; the text says why and what to do."""


@contextmanager
def only_writer(folder: Path) -> Iterator[None]:
    """Make a folder of masks and keep other streams out of it inside the block.

    `FolderError` where one is in it, or where it holds PNG files that no stream wrote.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.glob("*.png")) and not (folder / RECORD).exists():
            msg = f"{folder}: it holds PNG files and no {RECORD}; give an empty or a new folder"
            raise FolderError(msg)
        lock = FileLock(folder / _LOCK).acquire(blocking=False)
    except Timeout as error:
        msg = f"{folder}: another stream is writing there; wait for its end, or give another folder"
        raise FolderError(msg) from error
    except OSError as error:
        raise _unwritable_folder(folder, error) from error
    with lock:
        yield


class MaskFolder:
    """A folder of masks that one engine of one network made of one folder's images: `record` tells it from others."""

    def __init__(self, folder: Path, record: Mapping[str, Any]) -> None:
        """Open a folder; `FolderError` when it holds masks that something else made."""
        self._folder = folder
        path = folder / RECORD
        text = json.dumps(dict(record), indent=1) + "\n"
        try:
            found = path.read_text(encoding="utf-8") if path.exists() else None
            if not any(folder.glob("*.png")):
                # A run that ended before its first mask binds the next one to nothing.
                write_whole(path, text.encode())
                return
        except OSError as error:
            raise _unwritable_folder(folder, error) from error
        if found != text:
            what = "its masks were made by another network, engine or size, or of other images"
            msg = f"{folder}: {what} ({path}); give another folder"
            raise FolderError(msg)

    def mask_of(self, image: str) -> Path:
        """Return where the mask of an image file is written."""
        return self._folder / f"{Path(image).stem}.png"

    def tidy(self) -> None:
        """Remove what an interrupted run left half-written."""
        for path in self._folder.glob(".*.part"):
            path.unlink(missing_ok=True)


class MaskWriter:
    """A consumer that writes masks in threads of the lowest priority; a context manager, whose end waits for them.

    Masks of two classes are written as 0 and 255, those of more as the number of the class.
    """

    def __init__(self, folder: MaskFolder, size: tuple[int, int], classes: int, threads: int) -> None:
        self._folder = folder
        self._scale = _WHITE if classes <= 2 else 1  # noqa: PLR2004 - background and target
        count = 4 * threads
        self._free: Queue[NDArray[np.uint8]] = Queue()
        for _ in range(count):
            self._free.put(np.empty(size, np.uint8))
        self._full: Queue[tuple[str, NDArray[np.uint8]] | None] = Queue()
        self._threads = [Thread(target=self._work, name=f"write-{number}", daemon=True) for number in range(threads)]
        self._fault: Exception | None = None

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for _ in self._threads:
            self._full.put(None)
        for thread in self._threads:
            thread.join()
        if error is None and self._fault is not None:
            raise self._fault

    def __call__(self, index: int, name: str, mask: NDArray[np.uint8]) -> None:  # noqa: ARG002 - a consumer's arguments
        """Take one mask, uint8 [H, W]; waits while all buffers are full, raises what a thread met."""
        if self._fault is not None:
            raise self._fault
        buffer = self._free.get()
        np.multiply(mask, np.uint8(self._scale), out=buffer)
        self._full.put((name, buffer))

    def _work(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, get_native_id(), _LOWEST_PRIORITY)
        while (job := self._full.get()) is not None:
            name, buffer = job
            try:
                if self._fault is None:
                    _save(self._folder.mask_of(name), buffer)
            except OSError as error:
                self._fault = FolderError(f"{self._folder.mask_of(name)}: it cannot be written ({error.strerror})")
            except Exception as error:  # noqa: BLE001 - handed to the consumer's caller, which raises it
                self._fault = error
            finally:
                self._free.put(buffer)


def _unwritable_folder(folder: Path, error: OSError) -> FolderError:
    return FolderError(f"{folder}: the folder cannot be written ({error.strerror}); give another")


def _save(path: Path, mask: NDArray[np.uint8]) -> None:
    # Not named after the mask, whose name may be as long as names can be.
    part = path.with_name(f".{os.getpid()}-{get_native_id()}.part")
    try:
        Image.fromarray(mask).save(part, format="PNG", compress_level=1)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
