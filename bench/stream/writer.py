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
    from collections.abc import Iterator, Mapping, Sequence
    from types import TracebackType

    from numpy.typing import NDArray

RECORD = "stream.json"
"""The file in the folder of masks that says what made them."""
_FILES = "files"
"""The record's list of images; masks beside a record without it, of an earlier version, count as outdated."""
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
    """A folder of masks that one engine of one network made of one folder's images: `record` tells it from others.

    Beside the record stands what each image file was when its mask was made: one that was replaced since is noticed.
    """

    def __init__(self, folder: Path, record: Mapping[str, Any], images: Sequence[Path]) -> None:
        """Open a folder for these images' masks; `FolderError` when it holds masks that something else made."""
        self._folder, self._path = folder, folder / RECORD
        self._record: dict[str, Any] = json.loads(json.dumps(dict(record)))
        # A run that ended before its first mask binds the next one to nothing.
        found = self._found() if any(folder.glob("*.png")) else dict(self._record)
        before = found.pop(_FILES, {})
        if found != self._record or not isinstance(before, dict):
            what = "its masks were made by another network, engine or size, or of other images"
            msg = f"{folder}: {what} ({self._path}); give another folder"
            raise FolderError(msg)
        self._files = {path.name: _state(path) or before.get(path.name, "") for path in images}
        masks = {path.name for path in images if self.mask_of(path.name).exists()}
        current = {name for name, state in self._files.items() if state == before.get(name, "")}
        self.left = [path for path in images if path.name not in masks & current]
        """Images that have no mask or an outdated one."""
        self.outdated = [path for path in self.left if path.name in masks]
        """Images whose mask is of what the file was before, or of which the record does not tell."""

    def mask_of(self, image: str) -> Path:
        """Return where the mask of an image file is written."""
        return self._folder / f"{Path(image).stem}.png"

    def begin(self) -> None:
        """Remove what is half-written or outdated, then write down what the images are, before any of them is read.

        In this order no interruption leaves an outdated mask that would be taken for the present image's.
        """
        outdated = (self.mask_of(path.name) for path in self.outdated)
        try:
            for path in (*self._folder.glob(".*.part"), *outdated):
                path.unlink(missing_ok=True)
            write_whole(self._path, (json.dumps({**self._record, _FILES: self._files}, indent=1) + "\n").encode())
        except OSError as error:
            raise _unwritable_folder(self._folder, error) from error

    def _found(self) -> dict[str, Any]:
        """Return the record in the folder, empty where there is none that can be read as such."""
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise _unwritable_folder(self._folder, error) from error
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


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


def _state(path: Path) -> str:
    """Return what of a file changes with its content, without reading it; nothing where there is no file.

    The time of its last change of any kind is part of it, as files that are moved or unpacked bring their own time of
    modification, and uncompressed images of one size are files of one size.
    """
    try:
        found = path.stat()
    except OSError:
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


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
