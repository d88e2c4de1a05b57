"""The real Python bindings of TensorRT 10 and 11, importable without the library.

`python -m tests.bench.trt_api.bindings` fetches two wheels of about 1 MB from the package registry into a cache
folder, checks them against pinned digests, and compiles empty stand-ins for the three libraries that they load.
Nothing can be built with them, but every class, enumeration, method and property is there under its real name.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

CACHE = Path(__file__).parents[3] / ".bench_cache" / "tensorrt-api"
VERSIONS = ("10.16.1.11", "11.4.0.106")

_PACKAGE = "tensorrt_cu13_bindings"
_PLATFORM = "none-manylinux_2_28_x86_64"
_SHA256 = {
    ("10.16.1.11", "cp310"): "c8e171511a01a2678cb3e00ca4792bc1d7ea6c48da9781ab127970f6ad1edc4a",
    ("10.16.1.11", "cp311"): "f986d47980d042cc126506a9b84586e55ad13737a7a46826fe45457c04d66294",
    ("10.16.1.11", "cp312"): "2fb87ac24a5e5f42e43f283c16d1b661dc72ef18568fd847ce2080b7db9ca232",
    ("10.16.1.11", "cp313"): "da17c222ba99f46e77e1dab568cd17c4652b0432d4fae074e4c79285356aa0ac",
    ("11.4.0.106", "cp310"): "1d17853da33a186c4d4d39995c1186bb59f643689aabac9c3e33ae5f0ba402f5",
    ("11.4.0.106", "cp311"): "d072ac2a095e2be749fefc847adfb25d5ebe70303401df62ede8fe67a59f27fc",
    ("11.4.0.106", "cp312"): "5fc7a6c412881f7212030893bd5531b1a0ff415c72c7678dfe4ead7a7765b38d",
    ("11.4.0.106", "cp313"): "bac9a362c9189b5f5dd0444213913846e4b46003237834958e890eff57d86ed5",
}
_LIBRARIES = ("libnvinfer", "libnvinfer_plugin", "libnvonnxparser")


class BindingsError(RuntimeError):
    """Bindings that cannot be had on this machine; the text says why."""


def interpreter() -> str:
    """Return this interpreter's tag, such as `cp311`."""
    return f"cp{sys.version_info.major}{sys.version_info.minor}"


def folder(version: str) -> Path:
    """Return where the bindings of a version lie, or will lie: `tensorrt_bindings/` and the stand-in libraries."""
    return CACHE / f"{version}-{interpreter()}"


def unavailable() -> str | None:
    """Return why this machine cannot have the bindings at all, or None when it can."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        return f"the bindings are pinned for linux x86_64, not {sys.platform} {platform.machine()}"
    if (VERSIONS[0], interpreter()) not in _SHA256:
        return f"no bindings are pinned for {interpreter()}"
    return None


def prepare(version: str) -> Path:
    """Return the folder of a version's bindings, made on first use; `BindingsError` says what is in the way."""
    ready = folder(version)
    if ready.exists():
        return ready
    reason = unavailable()
    if reason:
        raise BindingsError(reason)
    ready.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ready.parent) as work:
        wheel = _download(version, Path(work))
        made = Path(work) / "made"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(made)
        _compile_stand_ins(made, version.partition(".")[0])
        if not ready.exists():  # another process may have been faster
            made.rename(ready)
    return ready


def _download(version: str, work: Path) -> Path:
    requirement = f"{_PACKAGE.replace('_', '-')}=={version}"
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(work),
    ]
    done = subprocess.run([*command, requirement], capture_output=True, text=True, check=False)
    wheel = work / f"{_PACKAGE}-{version}-{interpreter()}-{_PLATFORM}.whl"
    if done.returncode or not wheel.exists():
        msg = f"pip cannot download {requirement} for {interpreter()}: {done.stderr.strip()[-500:]}"
        raise BindingsError(msg)
    if hashlib.sha256(wheel.read_bytes()).hexdigest() != _SHA256[version, interpreter()]:
        msg = f"{wheel.name} is not the wheel that is pinned here"
        raise BindingsError(msg)
    return wheel


def _compile_stand_ins(made: Path, major: str) -> None:
    """Compile libraries that define the entry points which the bindings leave undefined."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    lister = shutil.which("nm")
    if compiler is None or lister is None:
        msg = "a C compiler and nm are needed to make the stand-in libraries"
        raise BindingsError(msg)
    library = next((made / "tensorrt_bindings").glob("tensorrt*.so"))
    listed = subprocess.run(
        [lister, "-D", "--undefined-only", str(library)], capture_output=True, text=True, check=True
    )
    entries = re.findall(r"U (create\w+_INTERNAL|get\w+|initLibNvInferPlugins)$", listed.stdout, re.MULTILINE)
    source = made / "stand_in.c"
    for name in _LIBRARIES:
        # All entry points in the first: whichever library defines them, the loader finds them.
        functions = [f"void *{entry}(void) {{ return 0; }}" for entry in entries] if name == _LIBRARIES[0] else []
        source.write_text("\n".join([*functions, f"int {name}_stand_in;", ""]), encoding="utf-8")
        so = f"{name}.so.{major}"
        command = [compiler, "-shared", "-fPIC", "-w", "-o", str(made / so), f"-Wl,-soname,{so}", str(source)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    try:
        for each in VERSIONS:
            print(f"TensorRT {each} bindings: {prepare(each)}")  # noqa: T201 - a command's output
    except BindingsError as error:
        sys.exit(f"error: {error}")
