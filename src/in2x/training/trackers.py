"""Programs that show a stage's numbers: TensorBoard, and as extras W&B and trackio.

All keep what they get in the stage's folder; W&B sends it nowhere unless it is told to.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from in2x.artifacts import In2xError

PROJECT = "in2x"


class Tracker(Protocol):
    def add(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class TensorBoard:
    """Events in folder/tensorboard; those after `resume_step` are purged."""

    def __init__(self, folder: Path, resume_step: int | None, online: bool):
        from torch.utils.tensorboard import SummaryWriter

        purge_step = None if resume_step is None else resume_step + 1
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=purge_step)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class Wandb:
    """A run of W&B in folder/wandb: offline, unless `online`; `wandb sync` sends it later."""

    def __init__(self, folder: Path, resume_step: int | None, online: bool):
        wandb = _imported("wandb")
        self.run = wandb.init(
            project=PROJECT,
            name=_name(folder),
            dir=str(folder),
            mode="online" if online else "offline",
            settings=wandb.Settings(silent=True, console="off"),
        )

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        self.run.finish()


class Trackio:
    """A run of trackio, in its own store on this machine ($TRACKIO_DIR); `trackio show` opens it."""

    def __init__(self, folder: Path, resume_step: int | None, online: bool):
        os.environ.setdefault("TRACKIO_DIR", str(folder.parent.absolute() / "trackio"))
        trackio = _imported("trackio")
        self.run = trackio.init(project=PROJECT, name=_name(folder), resume="allow", embed=False, auto_log_gpu=False)

    def add(self, step: int, values: Mapping[str, float]) -> None:
        self.run.log(dict(values), step=step)

    def close(self) -> None:
        self.run.finish()


TRACKERS = {"tensorboard": TensorBoard, "wandb": Wandb, "trackio": Trackio}


def open_tracker(name: str, folder: Path, resume_step: int | None, online: bool) -> Tracker:
    """Open a tracker for a stage's folder; `resume_step` is that of the checkpoint that is continued from.

    Raises:
        In2xError: its package is missing.
    """
    return TRACKERS[name](folder, resume_step, online)


def _imported(name: str):
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise In2xError(f"trackers: {name!r} needs the package {name} ({error}): pip install 'in2x[{name}]'") from None


def _name(folder: Path) -> str:
    return f"{folder.absolute().parent.name}/{folder.name}"
