"""A content-addressed store of built things: found again, proved whole, rebuilt when not."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from filelock import FileLock

from bench.timing import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

DEFAULT_ROOT = Path(__file__).parent.parent / ".bench_cache"
"""Where the store is when no other folder is named."""
_MANIFEST = "manifest.json"
_FULL = (errno.ENOSPC, errno.EDQUOT)
"""What writing fails with where there is no room: on the disk, or in the user's part of it."""
_PARTS = 5
"""Parts of a key's field that are named when it changed."""


class CacheError(OSError):
    """A store that cannot be written; the text names it and says why."""


class _Stamp(NamedTuple):
    """What of a file changes when its contents do, without reading them."""

    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing in the store."""

    folder: Path
    built: bool
    """Whether this call built it, rather than found it."""
    build_s: float
    """Seconds the build took, now or when it was built."""
    digest: str
    """Digest of the entry's key and of all its files."""


@dataclass(slots=True)
class Cache:
    """Entries in `root`, one folder each, named by a digest of their key; safe for several processes at once."""

    root: Path
    say: Callable[[str], None]
    builds: list[str] = field(default_factory=list)
    """What this object built, in order; what it found is not here."""
    anew: frozenset[str] = frozenset()
    """Kinds of which this object takes nothing that it did not build itself; what it builds replaces what is stored."""
    _own: set[Path] = field(default_factory=set, init=False, repr=False)
    _proved: dict[Path, dict[str, _Stamp]] = field(default_factory=dict, init=False, repr=False)
    """The stamps of all files of each folder that this object found whole, from before it read them."""

    def entry(self, kind: str, name: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> Entry:
        """Return the entry of `key`, calling `build` with an empty folder when it is not there or not whole.

        `kind` and `name` are for people: they begin the folder's name. A failing build leaves nothing new behind.
        Each object reads all of an entry to prove it whole, and again once a file's size or time has changed. Raises
        `CacheError` where there is no folder to write to, or no space left in it.
        """
        text = json.dumps(dict(key), sort_keys=True)
        folder = self.root / kind / f"{name}-{_sha256(text.encode())[:20]}"
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(f"{folder}.lock").acquire()
        except OSError as error:
            raise self._unwritable(error) from error
        with lock:
            if folder.exists():
                fault = self._prove(folder, text)
                unwanted = kind in self.anew and folder not in self._own
                if fault is None and not unwanted:
                    return _found(folder, built=False)
                self.say(f"{kind} {name}: the stored one {fault or 'is not to be used'}: building it again")
                if fault is not None:
                    shutil.rmtree(folder)
            else:
                self._explain(folder, kind, name, text)
            self._build(folder, text, build)
            self._own.add(folder)
            self.builds.append(f"{kind}/{name}")
            return _found(folder, built=True)

    def check(self) -> None:
        """Raise `CacheError` where nothing can be written."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.root):
                pass
        except OSError as error:
            raise self._unwritable(error) from error

    def _prove(self, folder: Path, text: str) -> str | None:
        """Return what is wrong with a stored entry, or None; one that was whole and has changed nowhere is not read."""
        stamps = {str(path.relative_to(folder)): _stamp(path) for path in folder.rglob("*") if path.is_file()}
        if self._proved.get(folder) == stamps:
            return None
        fault = _fault(folder, text)
        if fault is None:
            self._proved[folder] = stamps
        return fault

    def _explain(self, folder: Path, kind: str, name: str, text: str) -> None:
        """Say what changed since the newest stored thing of the same name, if there is one."""
        length = len(folder.name)
        others = [path for path in folder.parent.glob(f"{name}-*/{_MANIFEST}") if len(path.parent.name) == length]
        for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)[:1]:
            try:
                old, new = json.loads(path.read_text(encoding="utf-8"))["key"], json.loads(text)
            except (OSError, ValueError, KeyError):
                return
            changed = [_changed(field, old.get(field), new.get(field)) for field in sorted({*old, *new})]
            words = ", ".join(filter(None, changed))
            self.say(f"{kind} {name}: the stored one is of other {words}: building another")

    def _build(self, folder: Path, text: str, build: Callable[[Path], None]) -> None:
        prefix = f".building-{folder.name}-"
        # The entry's lock is held: what lies there is of a process that was killed.
        for left in folder.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        try:
            watch = Stopwatch()
            build(work)
            manifest = {
                "key": json.loads(text),
                "build_s": round(watch.elapsed_s, 3),
                "files": {
                    str(path.relative_to(work)): _file_sha256(path)
                    for path in sorted(work.rglob("*"))
                    if path.is_file()
                },
            }
            (work / _MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
            if folder.exists():
                shutil.rmtree(folder)
            work.rename(folder)
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise self._unwritable(error) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def _unwritable(self, error: OSError) -> CacheError:
        return CacheError(
            f"{self.root}: the cache cannot be written ({error.strerror}); make room, or give another --cache-dir"
        )


def _changed(field: str, old: Any, new: Any) -> str:  # noqa: ANN401 - any JSON
    """Return what of a key's field changed, its parts by name where it has some, in words; nothing where it did not."""
    if old == new:
        return ""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return field
    parts = [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]
    words = [f"{name} {old.get(name)} -> {new.get(name)}" for name in parts[:_PARTS]]
    words += [f"{len(parts) - _PARTS} more"] if len(parts) > _PARTS else []
    return f"{field} ({', '.join(words)})"


def _found(folder: Path, *, built: bool) -> Entry:
    text = (folder / _MANIFEST).read_text(encoding="utf-8")
    return Entry(
        folder, built=built, build_s=float(json.loads(text)["build_s"]), digest=_content_digest(json.loads(text))
    )


def _content_digest(manifest: dict[str, Any]) -> str:
    return _sha256(json.dumps([manifest["key"], manifest["files"]], sort_keys=True).encode())


def _fault(folder: Path, text: str) -> str | None:
    """Return what is wrong with a stored entry, or None when it is whole."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        files = dict(manifest["files"])
        if json.dumps(manifest["key"], sort_keys=True) != text:
            return "belongs to another key"
        float(manifest["build_s"])
    except (OSError, ValueError, KeyError, TypeError):
        return "has no readable manifest"
    for name, digest in files.items():
        path = folder / name
        if not path.is_file():
            return f"lacks its file {name}"
        if _file_sha256(path) != digest:
            return f"has a damaged file {name}"
    return None


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return _Stamp(found.st_ino, found.st_size, found.st_mtime_ns)


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
