"""Train a named model and write its weights: `python -m models.train --help`."""

from __future__ import annotations

import argparse
import shlex
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from models.fit import DivergedError, Recipe, fit, score
from models.images import ImageError, ImageSet, builtin, from_folder
from models.network import MODELS, WEIGHTS_FOLDER, untrained
from models.unet import SIZE_MULTIPLE, SizeError, check_size
from models.weights import WeightsError, save_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor, nn

_KEEP_OUT_EVERY = 9
_REPORTS = 20
_VALIDATIONS = 8
_TARGET = 1


class TrainingError(ValueError):
    """A training run that cannot start; the text says what to change."""


def main(argv: Sequence[str] | None = None) -> int:
    """Train as the command line says; return the exit status: 0 done, 2 wrong input, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(words)
    console = Console(soft_wrap=True, highlight=False)
    try:
        _train(arguments, words, console)
    except (ImageError, SizeError, TrainingError, WeightsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted: no weights were written", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m models.train", description="Train a U-Net on membrane sections.")
    parser.add_argument("--images", type=Path, metavar="DIR", help="training images (default: the built-in split)")
    parser.add_argument("--masks", type=Path, metavar="DIR", help="their masks, of the same file names")
    parser.add_argument("--val-images", type=Path, metavar="DIR", help="validation images (default: 1 in 9 kept out)")
    parser.add_argument("--val-masks", type=Path, metavar="DIR", help="their masks")
    parser.add_argument(
        "--model", choices=tuple(MODELS), default="unet-small", help="what to train (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="default: models/weights/MODEL.safetensors")
    parser.add_argument("--steps", type=_positive, default=600, help="optimizer steps (default: %(default)s)")
    parser.add_argument("--batch-size", type=_positive, default=8, help="crops per step (default: %(default)s)")
    parser.add_argument("--crop", type=_positive, default=256, help="edge of a crop in pixels (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=2e-3, help="highest learning rate (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="decides weights and crops (default: %(default)s)")
    parser.add_argument(
        "--device", choices=("auto", "cpu", "cuda"), default="auto", help="default: a GPU if there is one"
    )
    parser.add_argument("--half-storage", action="store_true", help="store FP16, half the file, for the largest model")
    return parser


def _positive(text: str) -> int:
    """Return a command-line number of at least 1."""
    number = int(text)
    if number < 1:
        msg = f"{number} is not at least 1"
        raise argparse.ArgumentTypeError(msg)
    return number


def _train(arguments: argparse.Namespace, words: list[str], console: Console) -> None:
    """Check everything, train, score, and write the weights last."""
    out: Path = arguments.out or WEIGHTS_FOLDER / f"{arguments.model}.safetensors"
    device = _check(arguments, out)
    with console.status("reading the images"):
        training, validation = _data(arguments)
    crop = min(arguments.crop, *(extent - extent % SIZE_MULTIPLE for extent in training.images.shape[1:]))
    if arguments.batch_size == 1 and crop == SIZE_MULTIPLE:
        msg = f"one crop of {crop} pixels a step leaves batch norm a single value: give a larger --batch-size or --crop"
        raise TrainingError(msg)
    recipe = Recipe(arguments.steps, arguments.batch_size, crop, arguments.lr, arguments.seed, device)
    console.print(
        f"training {arguments.model} on {len(training.images)} images ({training.origin}), "
        f"validating on {len(validation.images)} ({validation.origin}), {device.type}"
    )
    module = untrained(arguments.model, arguments.seed)
    try:
        reached = _fitted(module, training, validation, recipe, console, half=arguments.half_storage)
    except DivergedError as error:
        msg = f"training diverged ({error}): give a lower --lr than {arguments.lr:g}"
        raise TrainingError(msg) from error
    if not reached > 0:
        msg = "training found nothing: the Dice on validation is 0; train longer or with another --lr"
        raise TrainingError(msg)
    metadata = {
        "command": shlex.join(["python", "-m", "models.train", *words]),
        "seed": str(recipe.seed),
        "steps": str(recipe.steps),
        "validation_dice": f"{reached:.4f}",
        "torch": torch.__version__,
    }
    console.print(f"validation Dice {reached:.4f} ({validation.origin}, {len(validation.images)} images)")
    if arguments.images is None:
        held_out = score(module, builtin("held-out"))[:, _TARGET]
        metadata["held_out_dice"] = f"{held_out.mean():.4f}"
        console.print(f"held-out Dice {held_out.mean():.4f} (worst image {held_out.min():.4f}, {len(held_out)} images)")
    save_weights(module, out, torch.float16 if arguments.half_storage else None, metadata)
    console.print(f"wrote {out} ({out.stat().st_size / 1e6:.1f} MB)")


def _fitted(
    module: nn.Module, training: ImageSet, validation: ImageSet, recipe: Recipe, console: Console, *, half: bool
) -> float:
    """Train the module and return its mean Dice on validation; rounded first where `half`, as it is stored then."""
    with _progress(console, recipe, module, validation) as report:
        fit(module, training, recipe, report)
    if half:
        module.half().float()
    return float(score(module, validation)[:, _TARGET].mean())


def _check(arguments: argparse.Namespace, out: Path) -> torch.device:
    """Return the device to train on; raise `TrainingError` for what would fail later, after minutes of training."""
    check_size(arguments.crop, arguments.crop)
    found = torch.cuda.is_available()
    msg = ""
    if not 0 < arguments.lr < float("inf"):
        msg = f"--lr {arguments.lr}: the learning rate must be above 0 and finite"
    elif arguments.device == "cuda" and not found:
        msg = "--device cuda: PyTorch finds no CUDA GPU here; use --device cpu"
    elif out.is_dir():
        msg = f"--out {out}: this is a folder; give the file to write"
    if msg:
        raise TrainingError(msg)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.parent.joinpath(f".{out.name}.probe").open("wb") as probe:
            Path(probe.name).unlink()
    except OSError as error:
        msg = f"--out {out}: the folder cannot be written ({error.strerror}); choose another"
        raise TrainingError(msg) from error
    return torch.device("cuda" if found and arguments.device != "cpu" else "cpu")


def _data(arguments: argparse.Namespace) -> tuple[ImageSet, ImageSet]:
    """Return the training and the validation images, with masks; never the built-in held-out split."""
    for images, masks, name in (
        (arguments.images, arguments.masks, ""),
        (arguments.val_images, arguments.val_masks, "val-"),
    ):
        if (images is None) != (masks is None):
            msg = f"--{name}images and --{name}masks go together; give both or neither"
            raise TrainingError(msg)
    training = from_folder(arguments.images, arguments.masks) if arguments.images else builtin("train")
    if arguments.val_images:
        return training, from_folder(arguments.val_images, arguments.val_masks)
    count = len(training.images)
    kept_out = range(min(_KEEP_OUT_EVERY // 2, count - 1), count, _KEEP_OUT_EVERY)
    if count == 1:
        msg = f"{training.origin}: one image cannot be split into training and validation; give --val-images too"
        raise TrainingError(msg)
    return _part(training, sorted(set(range(count)) - set(kept_out)), "the rest"), _part(training, kept_out, "kept out")


def _part(data: ImageSet, indices: Sequence[int], what: str) -> ImageSet:
    """Return some images of a set."""
    chosen = list(indices)
    masks = None if data.masks is None else data.masks[chosen]
    names = tuple(data.names[index] for index in chosen)
    return replace(data, names=names, images=data.images[chosen], masks=masks, origin=f"{data.origin}, {what}")


@contextmanager
def _progress(
    console: Console, recipe: Recipe, module: nn.Module, validation: ImageSet
) -> Iterator[Callable[[int, Tensor], None]]:
    """Give a function that shows step, loss and validation Dice: a bar in a terminal, else a line now and then."""
    columns = (TextColumn("training"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    fields = TextColumn("loss {task.fields[loss]}  validation Dice {task.fields[dice]}")
    progress = Progress(*columns, fields, console=console, disable=not console.is_terminal)
    task = progress.add_task("training", total=recipe.steps, loss="-", dice="-")
    shown = "-"

    def report(step: int, loss: Tensor) -> None:
        nonlocal shown
        if step % max(1, recipe.steps // _VALIDATIONS) == 0:
            shown = f"{score(module, validation)[:, _TARGET].mean():.4f}"
        if console.is_terminal:
            # Reading the loss waits for the GPU, so not every step.
            if step % 10 == 0 or step == recipe.steps:
                progress.update(task, completed=step, loss=f"{float(loss):.3f}", dice=shown)
        elif step % max(1, recipe.steps // _REPORTS) == 0:
            console.print(f"step {step}/{recipe.steps}  loss {float(loss):.3f}  validation Dice {shown}")

    with progress:
        yield report


if __name__ == "__main__":
    sys.exit(main())
