"""An entry is read once by each session to prove it whole, and again as soon as one of its files has changed."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

import pytest

import bench.cache
from bench.cache import Cache, CacheError
from tests.bench.test_cache import Store
from tests.bench.test_cache_anew import rebuilt_elsewhere

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read to prove them, in order."""
    names: list[str] = []
    real = bench.cache._file_sha256

    def count(path: Path) -> str:
        names.append(path.name)
        return real(path)

    monkeypatch.setattr(bench.cache, "_file_sha256", count)
    return names


def _later(path: Path, data: bytes) -> None:
    """Write a file a second after it was written."""
    written = path.stat().st_mtime_ns
    path.write_bytes(data)
    os.utime(path, ns=(written + 10**9, written + 10**9))


def test_entry_is_read_once_to_prove_it_by_each_object(store: Store, tmp_path: Path, hashed: list[str]) -> None:
    first = store.entry()
    hashed.clear()
    next_session = Store(tmp_path)
    found = [next_session.entry() for _ in range(50)]
    assert sorted(hashed) == ["kernels", "plan"]
    assert {entry.digest for entry in found} == {first.digest}
    Store(tmp_path).entry()
    assert sorted(hashed) == ["kernels", "kernels", "plan", "plan"]


def test_damage_of_another_session_s_entry_is_found_by_its_bytes(store: Store, tmp_path: Path) -> None:
    plan = store.entry().folder / "plan"
    written = plan.stat().st_mtime_ns
    plan.write_bytes(b"engin!")
    os.utime(plan, ns=(written, written))
    next_session = Store(tmp_path)
    assert next_session.entry().built
    assert next_session.said == ["engine openvino-int8-b4: the stored one has a damaged file plan: building it again"]


def test_another_entry_is_read_although_one_was_proved(store: Store, tmp_path: Path, hashed: list[str]) -> None:
    store.entry()
    damaged = store.entry({"network": "xyz"}).folder
    next_session = Store(tmp_path)
    next_session.entry()
    (damaged / "inner" / "kernels").write_bytes(b"kernelz")
    hashed.clear()
    assert next_session.entry({"network": "xyz"}).built


@pytest.mark.parametrize(
    ("name", "data", "what"),
    [
        ("plan", b"engin!", "has a damaged file plan"),
        ("inner/kernels", b"kernelz", "has a damaged file inner/kernels"),
        ("manifest.json", b"{}", "has no readable manifest"),
    ],
)
def test_damage_after_the_proof_is_found(store: Store, name: str, data: bytes, what: str) -> None:
    store.entry()
    folder = store.entry().folder
    _later(folder / name, data)
    again = store.entry()
    assert again.built
    assert store.said == [f"engine openvino-int8-b4: the stored one {what}: building it again"]
    assert (folder / "plan").read_bytes() == b"engine"
    assert not store.entry().built


def test_file_lost_after_the_proof_is_found(store: Store) -> None:
    store.entry()
    (store.entry().folder / "plan").unlink()
    assert store.entry().built


def test_what_another_session_rebuilt_is_read_again(store: Store, tmp_path: Path, hashed: list[str]) -> None:
    store.entry()
    first = store.entry()
    rebuilt = rebuilt_elsewhere(tmp_path)
    hashed.clear()
    found = store.entry()
    assert hashed == ["plan"]
    assert not found.built
    assert found.digest == rebuilt.digest != first.digest
    hashed.clear()
    assert store.entry().digest == rebuilt.digest
    assert hashed == []


def test_file_that_is_whole_again_is_proved_again(store: Store, hashed: list[str]) -> None:
    store.entry()
    plan = store.entry().folder / "plan"
    _later(plan, plan.read_bytes())
    hashed.clear()
    assert [store.entry().built, store.entry().built] == [False, False]
    assert sorted(hashed) == ["kernels", "plan"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_store_that_cannot_be_written_is_named_and_keeps_nothing_half_built(tmp_path: Path, number: int) -> None:
    def fill(folder: Path) -> None:
        (folder / "plan").write_bytes(b"half")
        raise OSError(number, os.strerror(number))

    cache = Cache(tmp_path / "cache", lambda _: None)
    told = re.escape(f"cache: the cache cannot be written ({os.strerror(number)}); make room")
    with pytest.raises(CacheError, match=told):
        cache.entry("engine", "a", {}, fill)
    assert [path.suffix for path in (tmp_path / "cache" / "engine").iterdir()] == [".lock"]
    (tmp_path / "file").touch()
    with pytest.raises(CacheError, match=r"file: the cache cannot be written \(Not a directory\)"):
        Cache(tmp_path / "file", lambda _: None).entry("engine", "a", {}, fill)
    (tmp_path / "cache" / "engine" / "a-44136fa355b3678a1146.lock").unlink()
    (tmp_path / "cache" / "engine" / "a-44136fa355b3678a1146.lock").mkdir()
    with pytest.raises(CacheError, match=r"cache: the cache cannot be written \(Is a directory\)"):
        cache.entry("engine", "a", {}, fill)
