"""A stored torch.compile engine is never written to, and another process finds its kernels, wherever it lies."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from bench.backend import OutOfMemoryError
from bench.backends import torch_compile
from bench.case import Case
from tests.bench.networks import as_network, quick, tiny_source, two_convolutions
from tests.bench.test_torch_compile_files import KERNEL, add_triton_kernel, contents

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CASE = Case("torch_compile", "fp32", 1)
SIZE = (32, 32)

LOADER = """
import json, sys
from pathlib import Path
import numpy as np
from torch._dynamo.utils import counters
from bench.backends import torch_compile
from tests.bench.networks import as_network, tiny_source, two_convolutions
from tests.bench.test_torch_compile import CASE, SIZE

entry = Path(sys.argv[1])
source = tiny_source(entry.parents[1], as_network(two_convolutions()), size=SIZE)
engine = torch_compile.load(source, CASE, entry)
(place,) = (path for path in entry.parent.glob(".compiling-*") if path.is_dir())
files = {str(path.relative_to(place)): path.stat().st_size for path in place.rglob("*") if path.is_file()}
groups = [json.loads(path.read_text())["child_paths"] for path in place.rglob("__grp__*.json")]
found = [name for group in groups for name, path in group.items() if Path(path).read_text() == name]
engine.copy_in(np.ones((1, 1, *SIZE), np.float32))
engine.enqueue()
logits = engine.copy_out()
engine.close()
engine.close()
left = [path.name for path in entry.parent.iterdir()]
print(json.dumps([dict(counters["inductor"]), files, str(place), groups, found, left, logits.ravel()[:9].tolist()]))
"""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a fresh process made of a stored engine."""

    before: dict[str, tuple[bytes, int]]
    """The entry's files before it, with their times."""
    after: dict[str, tuple[bytes, int]]
    compiler: dict[str, int]
    """Inductor's own counts."""
    files: dict[str, int]
    """What lay in the process's scratch folder after some inferences, with its size."""
    place: str
    groups: list[dict[str, str]]
    found: list[str]
    """Children of the groups that were where their group said."""
    left: list[str]
    """What lay beside the entry and in its place once the engine was closed."""
    logits: list[float]


@pytest.fixture(scope="module")
def bundled() -> list[bool]:
    """Whether the compiler was to put kernels into its stored graph, at each compilation."""
    return []


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, bundled: list[bool]) -> Path:
    """An engine built after another one with the same kernels, of other weights, in one process."""
    root = tmp_path_factory.mktemp("cache")
    entry = root / "engine" / "entry"
    other = two_convolutions()
    for parameter in other.parameters():
        parameter.data += 1
    inner: Any = vars(torch_compile)["compile_fx_inner"]

    def seen(graph: Any, inputs: Any, **options: Any) -> Any:
        bundled.append(torch._inductor.config.bundle_triton_into_fx_graph_cache)
        return inner(graph, inputs, **options)

    with quick(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch_compile, "compile_fx_inner", seen)
        for folder, module in ((root / "rival" / "entry", other), (entry, two_convolutions())):
            folder.mkdir(parents=True)
            torch_compile.build(tiny_source(root, as_network(module), size=SIZE), CASE, folder)
    return entry


@pytest.fixture(scope="module", params=["where it was built", "in another place"])
def loaded(request: pytest.FixtureRequest, stored: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loaded]:
    if request.param == "where it was built":
        yield _load(stored)
        return
    entry = tmp_path_factory.mktemp("restored") / "cache" / "engine" / "entry"
    shutil.copytree(stored, entry)
    add_triton_kernel(entry)
    gone = stored.rename(stored.parents[2] / "gone")
    yield _load(entry)
    gone.rename(stored)


def _load(entry: Path) -> Loaded:
    before = contents(entry)
    command = [sys.executable, "-c", LOADER, str(entry)]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return Loaded(before, contents(entry), *json.loads(run.stdout.splitlines()[-1]))


def test_build_leaves_the_compiler_s_files_and_nothing_passing(stored: Path, bundled: list[bool]) -> None:
    names = {path.name for path in stored.rglob("*")}
    assert {"formats.json", "torchinductor", "fxgraph"} <= names
    assert [name for name in names if name.endswith(".so")]
    # Other names are digests, which may hold any three letters.
    passing = [name for name in names if name.endswith((".lock", ".tmp")) or name.startswith("tmp.") or name == "locks"]
    assert not passing
    assert [path.name for path in stored.parent.iterdir()] == ["entry"]
    assert bundled == [False, False]


def test_load_in_a_fresh_process_changes_nothing_stored(loaded: Loaded) -> None:
    assert loaded.after == loaded.before
    assert loaded.left == ["entry"]


def test_load_in_a_fresh_process_compiles_nothing(loaded: Loaded) -> None:
    assert loaded.compiler["fxgraph_cache_hit"] == 1
    assert "fxgraph_cache_miss" not in loaded.compiler
    # Where Triton sees a GPU it compiles its helper for it, which an engine built for the CPU does not hold.
    files = {name: size for name, size in loaded.files.items() if not Path(name).name.startswith("cuda_utils.")}
    binary = {name: len(data) for name, (data, _) in loaded.before.items() if name.endswith((".so", ".cubin"))}
    assert {name: size for name, size in files.items() if name.endswith((".so", ".cubin"))} == binary
    kept = {name for name in loaded.before if name != "formats.json" and "half" not in name}
    assert {name for name in files if not name.endswith(".lock")} == kept


def test_loaded_engine_computes_the_network(loaded: Loaded) -> None:
    with torch.inference_mode():
        wanted = two_convolutions()(torch.ones(1, 1, *SIZE)).ravel()[:9]
    assert loaded.logits == pytest.approx(wanted.tolist(), abs=1e-4)


def test_triton_s_lists_name_the_copies(loaded: Loaded) -> None:
    if f"{KERNEL}.cubin" not in loaded.before:
        assert loaded.groups == []
        return
    (group,) = loaded.groups
    names = [f"{Path(KERNEL).name}{suffix}" for suffix in (".json", ".cubin", ".ttir")]
    assert group == {name: f"{loaded.place}/triton/22XC/{name}" for name in names}
    assert loaded.found == names


@pytest.mark.parametrize("what", ["build", "load"])
def test_failure_leaves_no_scratch_folder(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def fail(*_: object) -> nn.Module:
        seen.extend(path.name[:11] for path in tmp_path.iterdir() if path.name.startswith(".") and path.is_dir())
        message = "no compiler"
        raise RuntimeError(message)

    monkeypatch.setattr(torch_compile, "_engine", fail)
    folder = tmp_path / "entry"
    folder.mkdir()
    with pytest.raises(RuntimeError, match="no compiler") as failure:
        getattr(torch_compile, what)(tiny_source(tmp_path, as_network(two_convolutions())), CASE, folder)
    assert seen == [".compiling-"]
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]
    del failure  # held until here, and with it all that would clean up after itself


def test_memory_that_runs_out_while_compiling_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_out(*_: object, **_options: object) -> None:
        message = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB"
        raise torch.OutOfMemoryError(message)

    monkeypatch.setattr(torch_compile, "compile_fx_inner", run_out)
    source = tiny_source(tmp_path, as_network(two_convolutions()), size=SIZE)
    with quick(), pytest.raises(OutOfMemoryError, match=r"^out of memory at batch 1 \(needs about 2.0 GiB or more\)$"):
        torch_compile.build(source, CASE, tmp_path / "entry")
