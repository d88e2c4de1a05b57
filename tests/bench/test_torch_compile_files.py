"""The compiler's files lie in a folder of one process's own, name themselves, and go with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.backends._compiler_files import copy_compiled, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
KERNEL = "triton/22XC/triton_poi_fused_cat_clone_19"

HOLDER = """
import sys
from pathlib import Path
from bench.backends._compiler_files import scratch

with scratch(Path(sys.argv[1])) as place:
    (place / "kernel").write_text("compiled")
    print(place, flush=True)
    sys.stdin.readline()
"""


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return a folder's files by name: their bytes and their times."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def add_triton_kernel(entry: Path) -> None:
    """Leave what Triton leaves of a kernel: its files, the list with their paths at that time, and rubbish."""
    kernel = entry / KERNEL
    (kernel.parent / "tmp.pid_7_abc").mkdir(parents=True)
    (kernel.parent / "tmp.pid_7_abc" / "half").write_text("half")
    names = [f"{kernel.name}{suffix}" for suffix in (".json", ".cubin", ".ttir")]
    for name in names:
        kernel.with_name(name).write_text(name)
    paths = {name: f"/nowhere/.building-x/triton/22XC/{name}" for name in names}
    kernel.with_name(f"__grp__{kernel.name}.json").write_text(json.dumps({"child_paths": paths}))


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds a scratch folder."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with process:
        yield process
        process.kill()


def test_scratch_of_a_killed_process_goes_with_the_next_one(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    assert holder.stdout is not None
    place = Path(holder.stdout.readline().strip())
    with scratch(tmp_path) as own:
        assert place.is_dir()  # its process lives
        with scratch(tmp_path) as second:
            assert own.is_dir()
            assert len({own, second, place}) == 3
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (place / "kernel").is_file()
    with scratch(tmp_path):
        assert not place.exists()
    assert list(tmp_path.iterdir()) == []


def test_copy_leaves_what_is_passing_and_the_original_alone(tmp_path: Path) -> None:
    add_triton_kernel(tmp_path / "a")
    for name in ("locks/k.lock", "c5/.7.9.tmp", "c5/k.best_config"):
        path = tmp_path / "a" / "torchinductor" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    before = contents(tmp_path / "a")
    copy_compiled(tmp_path / "a", tmp_path / "b")
    assert contents(tmp_path / "a") == before
    gone = {name for name in before if not (tmp_path / "b" / name).exists()}
    passing = {"torchinductor/locks/k.lock", "torchinductor/c5/.7.9.tmp", "triton/22XC/tmp.pid_7_abc/half"}
    assert gone == passing
    group = json.loads((tmp_path / "b" / KERNEL).with_name(f"__grp__{Path(KERNEL).name}.json").read_text())
    assert {Path(path).parent for path in group["child_paths"].values()} == {(tmp_path / "b" / KERNEL).parent}
