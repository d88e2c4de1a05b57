"""An entry that is built anew replaces the stored one, or leaves it as it was, and nothing half-built stays."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.bench.test_cache import Store

if TYPE_CHECKING:
    from pathlib import Path

    from bench.cache import Entry


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_what_is_not_to_be_used_is_built_once_more_and_found_by_all(store: Store, tmp_path: Path) -> None:
    store.entry()
    again = Store(tmp_path)
    again.cache.anew = frozenset({"engine"})
    assert [again.entry().built, again.entry().built] == [True, False]
    assert (again.builds, again.cache.builds) == (1, ["engine/openvino-int8-b4"])
    assert again.said == ["engine openvino-int8-b4: the stored one is not to be used: building it again"]
    assert not Store(tmp_path).entry().built
    again.cache.anew = frozenset({"graph"})
    assert not Store(tmp_path).entry().built


def test_rebuilding_that_fails_keeps_what_was_stored(store: Store, tmp_path: Path) -> None:
    first = store.entry()
    again = Store(tmp_path)
    again.cache.anew = frozenset({"engine"})

    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        message = "out of memory"
        raise RuntimeError(message)

    with pytest.raises(RuntimeError, match="out of memory"):
        again.entry(build=fail)
    found = Store(tmp_path).entry()
    assert (found.built, found.digest) == (False, first.digest)
    assert [path.name for path in (tmp_path / "engine").iterdir() if path.name.startswith(".building")] == []


def test_what_a_killed_process_left_of_an_entry_goes_with_its_next_build(store: Store, tmp_path: Path) -> None:
    begun: list[Path] = []

    def killed(folder: Path) -> None:
        begun.append(folder)
        store.build(folder)

    first = store.entry(build=killed)
    shutil.move(first.folder, begun[0])  # as if the process had ended before the last step
    another = begun[0].with_name(".building-openvino-fp32-b4-0-x")
    another.mkdir()
    assert store.entry().built
    assert [path for path in (tmp_path / "engine").iterdir() if path.name.startswith(".building")] == [another]


def rebuilt_elsewhere(root: Path) -> Entry:
    """Return the entry as another session builds it anew, one byte of it other."""
    rival = Store(root)
    rival.cache.anew = frozenset({"engine"})

    def other(folder: Path) -> None:
        (folder / "plan").write_bytes(b"enginf")

    return rival.entry(build=other)


def test_builds_that_differ_in_a_byte_differ_in_their_digest(store: Store, tmp_path: Path) -> None:
    first = store.entry()
    rebuilt = rebuilt_elsewhere(tmp_path)
    assert rebuilt.folder == first.folder
    assert rebuilt.digest != first.digest
    assert not (rebuilt.folder / "inner").exists()
