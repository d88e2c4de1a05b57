"""The store builds a thing once, finds it whole or builds it again, and never hands out half of one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.cache import Cache

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.cache import Entry

ROOT = Path(__file__).parents[2]
KEY = {"network": "abc", "size": [64, 64]}

RIVAL = """
import sys
from pathlib import Path
from threading import Event
from bench.cache import Cache

root, log = Path(sys.argv[1]), Path(sys.argv[2])

def build(folder):
    with log.open("a") as file:
        file.write("built\\n")
    (folder / "plan").write_text("one")
    Event().wait(0.7)
    (folder / "rest").write_text("two")

print("ready", flush=True)
sys.stdin.readline()
entry = Cache(root, lambda text: None).entry("engine", "case", {"key": 1}, build)
print(entry.built, (entry.folder / "rest").read_text(), entry.digest)
"""


class Store:
    """A cache with its log, and a build that counts."""

    def __init__(self, root: Path) -> None:
        self.said: list[str] = []
        self.builds = 0
        self.cache = Cache(root, self.said.append)

    def build(self, folder: Path) -> None:
        """Leave two files, one in a folder of its own."""
        assert list(folder.iterdir()) == []
        self.builds += 1
        (folder / "plan").write_bytes(b"engine")
        (folder / "inner").mkdir()
        (folder / "inner" / "kernels").write_bytes(b"kernels")

    def entry(self, key: dict[str, object] | None = None, build: Callable[[Path], None] | None = None) -> Entry:
        """Return the entry of a key, the same one by default."""
        return self.cache.entry("engine", "openvino-int8-b4", key or KEY, build or self.build)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def test_entry_is_built_once_and_found_from_then_on(store: Store, tmp_path: Path) -> None:
    first = store.entry()
    assert first.built
    assert (first.folder / "inner" / "kernels").read_bytes() == b"kernels"
    again = store.entry({"size": [64, 64], "network": "abc"})  # the order of a key's parts is no part of it
    next_session = Store(tmp_path)
    found = next_session.entry()
    assert (again.built, found.built) == (False, False)
    assert (store.builds, next_session.builds) == (1, 0)
    assert first.folder == again.folder == found.folder
    assert first.digest == again.digest == found.digest
    assert (store.cache.builds, next_session.cache.builds) == (["engine/openvino-int8-b4"], [])
    assert store.said == next_session.said == []


def test_folder_is_named_for_people(store: Store, tmp_path: Path) -> None:
    folder = store.entry().folder
    assert folder.parent == tmp_path / "engine"
    assert folder.name.startswith("openvino-int8-b4-")


def test_another_key_is_another_entry(store: Store) -> None:
    first, other = store.entry(), store.entry({**KEY, "network": "xyz"})
    assert other.built
    assert (other.folder != first.folder, other.digest != first.digest) == (True, True)
    assert not store.entry().built


def test_the_reason_for_building_another_names_what_changed(store: Store) -> None:
    versions = {"tensorrt": "8.6.0", "gpu": "NVIDIA H200"}
    store.entry({**KEY, "versions": versions})
    store.entry({**KEY, "network": "xyz", "versions": {**versions, "tensorrt": "10.16.1.11", "pycuda": "2026.1"}})
    (line,) = store.said
    assert line == (
        "engine openvino-int8-b4: the stored one is of other network, versions (pycuda None -> 2026.1, "
        "tensorrt 8.6.0 -> 10.16.1.11): building another"
    )


def test_a_field_of_many_changed_parts_names_the_first_few(store: Store) -> None:
    for value in (1, 2):
        store.entry({"limits": {f"tensor {index}": value for index in range(9)}})
    assert store.said[-1].endswith("tensor 4 1 -> 2, 4 more): building another")


def test_seconds_of_the_build_are_kept_for_later_sessions(store: Store, tmp_path: Path) -> None:
    def slow(folder: Path) -> None:
        store.build(folder)
        subprocess.run([sys.executable, "-c", "import threading; threading.Event().wait(0.2)"], check=True)

    first = store.entry(build=slow)
    assert first.build_s >= 0.2
    assert Store(tmp_path).entry().build_s == first.build_s


def _truncate(folder: Path) -> None:
    (folder / "plan").write_bytes(b"eng")


def _flip(folder: Path) -> None:
    (folder / "inner" / "kernels").write_bytes(b"kernelz")


def _lose(folder: Path) -> None:
    (folder / "plan").unlink()


def _foreign(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "key": {"network": "another"}}))


def _half_manifest(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[: len(text) // 2])


def _other_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("[]")


def _no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        (_truncate, "has a damaged file plan"),
        (_flip, "has a damaged file inner/kernels"),
        (_lose, "lacks its file plan"),
        (_foreign, "belongs to another key"),
        (_half_manifest, "has no readable manifest"),
        (_other_manifest, "has no readable manifest"),
        (_no_manifest, "has no readable manifest"),
    ],
)
def test_entry_that_is_not_whole_is_built_again_and_said_so(
    store: Store, damage: Callable[[Path], None], what: str
) -> None:
    damage(store.entry().folder)
    again = store.entry()
    assert again.built
    assert store.said == [f"engine openvino-int8-b4: the stored one {what}: building it again"]
    assert (again.folder / "plan").read_bytes() == b"engine"
    assert not store.entry().built
    assert store.builds == 2


@pytest.mark.parametrize("failure", [RuntimeError("out of memory"), KeyboardInterrupt()])
def test_failing_build_leaves_nothing_and_is_tried_again(store: Store, tmp_path: Path, failure: BaseException) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_bytes(b"half")
        raise failure

    with pytest.raises(type(failure)):
        store.entry(build=fail)
    assert [path for path in tmp_path.rglob("*") if path.suffix != ".lock" and path != tmp_path / "engine"] == []
    assert store.cache.builds == []
    entry = store.entry()
    assert entry.built
    assert not (entry.folder / "half").exists()


def test_two_processes_at_once_build_one_entry_once(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", RIVAL, str(tmp_path / "cache"), str(log)]
    rivals = [
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    for rival in rivals:
        assert rival.stdout is not None
        assert rival.stdout.readline() == "ready\n"
    for rival in rivals:
        assert rival.stdin is not None
        rival.stdin.write("go\n")
        rival.stdin.flush()
    answers = [rival.communicate(timeout=30)[0].split() for rival in rivals]
    assert log.read_text() == "built\n"
    assert sorted(answer[0] for answer in answers) == ["False", "True"]
    assert [answer[1] for answer in answers] == ["two", "two"]
    assert answers[0][2] == answers[1][2]
