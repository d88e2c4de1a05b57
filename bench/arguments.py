"""What the commands' options take: types for `argparse`, which names the option that a refused value was given to.

And options that several commands share.
"""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path

from bench.cache import DEFAULT_ROOT
from bench.outputs import unwritable


def count(text: str) -> int:
    """Return a whole number from 1; `ArgumentTypeError` for another text, as below."""
    if not text.isdecimal() or int(text) < 1:
        msg = f"{text} is not a whole number from 1"
        raise ArgumentTypeError(msg)
    return int(text)


def counts(text: str) -> list[int]:
    """Return whole numbers from 1 that commas part, in order and each once."""
    return sorted({count(part.strip()) for part in text.split(",")})


def positive(text: str) -> float:
    """Return a finite number above 0, such as seconds."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        msg = f"{text} is not a number above 0"
        raise ArgumentTypeError(msg)
    return value


def share(text: str) -> float:
    """Return a number between 0 and 1, neither of which it is."""
    value = positive(text)
    if value >= 1:
        msg = f"{text} is not a share between 0 and 1"
        raise ArgumentTypeError(msg)
    return value


def file_to_write(text: str) -> Path:
    """Return the path of a file that can be written, found out before the work that it is to hold."""
    path = Path(text)
    if fault := unwritable(path):
        msg = f"{text}: {fault}"
        raise ArgumentTypeError(msg)
    return path


def device(text: str) -> str:
    """Return where engines run, for `auto` on a GPU if there is one; `ArgumentTypeError` for one that is not there."""
    import torch  # noqa: PLC0415 - commands without engines do without torch, and `--help` need not wait for it

    there = torch.cuda.is_available()
    if text == "cuda" and not there:
        built = "this PyTorch is a CPU build" if torch.version.cuda is None else "the driver shows PyTorch no GPU"
        msg = f"no CUDA device ({built})"
        raise ArgumentTypeError(msg)
    return text if text != "auto" else "cuda" if there else "cpu"


def add_engine_place(parser: ArgumentParser) -> None:
    """Add the options that say where engines run and where they are kept."""
    parser.add_argument(
        "--device",
        type=device,
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where engines run (default: %(default)s, a GPU if there is one)",
    )
    parser.add_argument(
        "--cache-dir",
        type=Path,
        default=DEFAULT_ROOT,
        metavar="DIR",
        help="where engines are kept (default: .bench_cache)",
    )
