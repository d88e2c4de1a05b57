"""Imports point one way, models <- bench <- fixtures <- conftest.py; tests may import all, nothing imports tests."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
ORDER = ("models", "bench", "fixtures", "conftest")
RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "pycuda", "torch2trt")
HARNESS = "bench.harness"
"""The script that compares the suite with OpenVINO's own tool."""
QUANTIZER = {"onnxruntime.quantization", "onnxruntime.transformers"}


def modules(root: Path) -> dict[str, Path]:
    """Return the repository's own modules by dotted name."""
    files = [root / "conftest.py", *(path for part in (*ORDER[:-1], "tests") for path in (root / part).rglob("*.py"))]
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
        if path.exists()
    }


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of every import in a file, inside functions and type-checking blocks too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are written in full"
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Assign) and any(getattr(name, "id", "") == "pytest_plugins" for name in node.targets):
            yield from ((node.lineno, str(name)) for name in ast.literal_eval(node.value))


def faults(root: Path) -> list[str]:
    """Return every import in a repository that points the wrong way."""
    found = []
    for name, path in modules(root).items():
        top = name.partition(".")[0]
        for line, target in imports(path):
            fault = _fault(name, top, target)
            if fault:
                found.append(f"{name}:{line}: {fault}")
    return found


def _fault(name: str, top: str, target: str) -> str | None:
    """Return what is wrong with a module's import, or None."""
    goal = target.partition(".")[0]
    if goal == "tests" and top != "tests":
        return f"{top} imports {target}"
    if top in ORDER and goal in ORDER and ORDER.index(goal) > ORDER.index(top):
        return f"{top} imports {target}"
    if goal in {"pytest", "pytest_benchmark", "_pytest"}:
        measures = top == "bench" and name.rpartition(".")[2].startswith("test_")
        if top == "models" or (top == "bench" and not measures):
            return f"{name} imports {goal}"
    if top == "models" and goal in RUNTIMES and not any(target.startswith(part) for part in QUANTIZER):
        return f"models imports the runtime {target}"
    if goal in RUNTIMES and top in {"bench", "fixtures"} and not name.startswith(("bench.backends.", HARNESS)):
        return f"the runtime {goal} is imported outside a backend's file"
    return None


def transitive(name: str, root: Path) -> set[str]:
    """Return all that importing a module imports at once: its own modules' top-level imports, followed."""
    known = modules(root)
    seen: set[str] = set()
    left = [name]
    while left:
        current = left.pop()
        for target in _at_import(known[current]):
            inner = next((part for part in (target, target.rpartition(".")[0]) if part in known), None)
            if (inner or target) not in seen:
                seen.add(inner or target)
                left += [inner] if inner else []
    return seen


def _at_import(path: Path) -> Iterator[str]:
    """Yield what a file imports when it is imported itself: outside functions and type-checking blocks."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_every_import_points_down() -> None:
    assert faults(ROOT) == []


@pytest.mark.parametrize("module", ["bench.gate", "bench.__main__", "bench.report", "bench.backend"])
def test_verdicts_and_listing_reach_neither_torch_nor_pytest(module: str) -> None:
    reached = {target.partition(".")[0] for target in transitive(module, ROOT)}
    assert reached
    assert not reached & {"torch", "pytest", "onnx", "models", "fixtures", *RUNTIMES}


def test_root_conftest_holds_the_plugins_and_nothing_else() -> None:
    docstring, plugins = ast.parse((ROOT / "conftest.py").read_text(encoding="utf-8")).body
    assert isinstance(docstring, ast.Expr)
    assert isinstance(plugins, ast.Assign)
    named = set(ast.literal_eval(plugins.value))
    ours = {
        name: path.read_text(encoding="utf-8") for name, path in modules(ROOT).items() if name.startswith("fixtures.")
    }
    # What has neither a hook nor a fixture is a plugin's helper.
    assert named == {name for name, text in ours.items() if "\ndef pytest_" in text or "\n@pytest.fixture" in text}


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("models/unet.py", "import bench.cache"),
        ("models/unet.py", "def f():\n    from fixtures.options import SETTINGS"),
        ("models/unet.py", "import pytest"),
        ("models/unet.py", "import onnxruntime"),
        ("bench/gate.py", "from fixtures.session import OUTCOME"),
        ("bench/gate.py", "from pytest import mark"),
        ("bench/backends/new.py", "import pytest"),
        ("bench/test_inference.py", "if True:\n    from fixtures.artifacts import Workload"),
        ("bench/source.py", "import openvino as ov"),
        ("bench/source.py", "from tests.bench import networks"),
        ("fixtures/options.py", "import conftest"),
        ("conftest.py", "pytest_plugins = ('tests.helpers',)"),
    ],
)
def test_planted_import_is_caught(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(line + "\n")
    (caught,) = faults(tmp_path)
    assert caught.startswith(file.removesuffix(".py").replace("/", ".") + ":")


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("bench/test_inference.py", "import pytest"),
        ("bench/backends/new.py", "import openvino"),
        ("models/quantize.py", "from onnxruntime.quantization import QDQQuantizer"),
        ("fixtures/options.py", "import bench.case, models.unet, pytest"),
        ("tests/bench/test_gate.py", "import conftest, fixtures.session, bench.gate, openvino"),
        ("conftest.py", "pytest_plugins = ('fixtures.options',)"),
    ],
)
def test_import_that_may_be_is_let_through(tmp_path: Path, file: str, line: str) -> None:
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(line + "\n")
    assert faults(tmp_path) == []
