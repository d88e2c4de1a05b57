"""A backend is one file in the folder: found by listing, imported only when it is used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import bench.backend
import bench.backends
from bench.backend import UnavailableError, as_batch, load_backend, names

ROOT = Path(__file__).parents[2]
LISTING = """
import sys
from bench.backend import names
found = names()
heavy = {"torch", "onnxruntime", "openvino", "tensorrt", "onnx"} & sys.modules.keys()
print(" ".join(found), "|", " ".join(heavy | {name for name in sys.modules if name.startswith("bench.backends.")}))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of backends in place of the suite's own."""
    place = tmp_path / "backends"
    place.mkdir()
    monkeypatch.setattr(bench.backend, "_FOLDER", place)
    monkeypatch.setattr(bench.backends, "__path__", [str(place)])
    for name in [name for name in sys.modules if name.startswith("bench.backends.new")]:
        monkeypatch.delitem(sys.modules, name)
    return place


@pytest.fixture
def library(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library that a backend may import, to be written."""
    place = tmp_path_factory.mktemp("site-packages")
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "newlib", raising=False)
    return place / "newlib.py"


def test_listing_backends_imports_none_of_them_nor_their_libraries() -> None:
    answer = subprocess.run([sys.executable, "-c", LISTING], cwd=ROOT, check=True, capture_output=True, text=True)
    found, _, imported = answer.stdout.partition("|")
    assert tuple(found.split()) == names()
    assert imported.strip() == ""


def test_backends_are_the_files_without_underscore_in_order() -> None:
    files = {path.stem for path in (ROOT / "bench" / "backends").glob("*.py")}
    assert set(names()) == {stem for stem in files if not stem.startswith("_")}
    assert list(names()) == sorted(names())
    assert {"openvino", "onnxruntime", "tensorrt", "torch", "torch_compile"} <= set(names())


def test_file_put_into_the_folder_is_a_backend_without_further_ado(folder: Path) -> None:
    (folder / "new_runtime.py").write_text("READS = 'graph'\n")
    (folder / "_shared.py").write_text("READS = 'nothing'\n")
    (folder / "notes.txt").write_text("")
    assert names() == ("new_runtime",)
    assert load_backend("new_runtime").READS == "graph"


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (None, "new_a: No module named 'newlib'"),
        ("import no_such_part\n", "new_a: No module named 'no_such_part'"),
        ("raise OSError('libnv.so.8: cannot open')\n", "new_a: its library does not load: OSError: libnv.so.8"),
        ("raise RuntimeError('no driver')\n", "new_a: its library does not load: RuntimeError: no driver"),
        ("import json\njson.Gone\n", "new_a: its library does not load: AttributeError: module 'json'"),
    ],
)
def test_backend_whose_library_does_not_load_says_why(
    folder: Path, library: Path, code: str | None, reason: str
) -> None:
    (folder / "new_a.py").write_text("import newlib\n")
    if code is not None:
        library.write_text(code)
    with pytest.raises(UnavailableError) as caught:
        load_backend("new_a")
    assert str(caught.value).startswith(reason)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("x = undefined_name\n", NameError),
        ("import json\njson.Gone\n", AttributeError),
        ("raise RuntimeError('ours')\n", RuntimeError),
        ("from bench.case import gone\n", ImportError),
        ("import models.gone\n", ImportError),
    ],
)
def test_mistake_in_our_own_code_is_no_missing_library(folder: Path, code: str, kind: type[Exception]) -> None:
    (folder / "new_b.py").write_text(code)
    with pytest.raises(kind) as caught:
        load_backend("new_b")
    assert not isinstance(caught.value, UnavailableError)


@pytest.mark.parametrize("name", ["tensorflow", "_torch", "../backend", ""])
def test_name_without_a_file_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(ValueError, match="there are: onnxruntime, openvino, tensorrt") as caught:
        load_backend(name)
    assert repr(name) in str(caught.value)


def test_batch_comes_back_contiguous_or_is_refused_with_what_is_wanted() -> None:
    batch = np.arange(32, dtype=np.float32).reshape(2, 1, 4, 4)
    turned = batch[:, :, ::-1]
    assert as_batch(turned, (2, 1, 4, 4)).flags.c_contiguous
    np.testing.assert_array_equal(as_batch(turned, (2, 1, 4, 4)), turned)
    with pytest.raises(ValueError, match=r"takes float32 \[1, 1, 4, 4\], not float32 \[2, 1, 4, 4\]"):
        as_batch(batch, (1, 1, 4, 4))
    with pytest.raises(ValueError, match="not float64"):
        as_batch(batch.astype(np.float64), (2, 1, 4, 4))
