"""What one rollout batch fixes for all of its updates, on disk, so that a run can stop between two of them.

Written before the first update (rl/windows/batch-00001.safetensors) and kept as long as a checkpoint may need it. A run
that stops inside a window continues with the same tokens, advantages and old log-probabilities, which the weights of
the checkpoint could no longer give.
"""

import dataclasses
import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from in2x import distributed
from in2x.artifacts import In2xError, atomic
from in2x.rl.rollouts import Rollouts

TENSORS = (
    "input_ids", "completion_mask", "old_logprobs", "sampling_logprobs", "ref_logprobs", "advantages", "credit",
)  # fmt: skip
FIELDS = ("ids", "temperature", "share_prompts")


@dataclasses.dataclass(frozen=True)
class Window:
    """A rollout batch (0-based) ready for its updates, and what was watched of it while it was made."""

    batch: int
    rollouts: Rollouts
    measured: dict


class Windows:
    """The windows of a run's folder. `needed` is the batch that the checkpoint on disk stands in."""

    def __init__(self, folder: Path, batch: int):
        self.folder, self.needed = folder, batch
        self.checkpoint = folder / "checkpoint"
        self._seen = self._identity()

    def save(self, window: Window) -> None:
        """Write a window, and forget those that no checkpoint needs any more."""
        distributed.on_main(lambda: self._save(window))

    def load(self, batch: int, inside: bool) -> Window | None:
        """The window of a batch, where the run had come so far.

        Raises:
            In2xError: the checkpoint stands inside a window that isn't there.
        """
        path = self._path(batch)
        if not distributed.on_main(path.exists):
            if inside:
                raise In2xError(
                    f"{path}: not there, and the checkpoint stands between two updates of this batch; "
                    f"delete {self.checkpoint} to start the stage again"
                )
            return None
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            told = json.loads(file.metadata()["window"])
        tensors = {name: tensors.get(name) for name in TENSORS}
        told_fields = {name: told[name] for name in FIELDS if name in told}
        return Window(batch, Rollouts(**told_fields, **tensors), told["measured"])

    def noted(self, batch: int) -> None:
        """Look whether a checkpoint has been written since the last look; it then stands in this batch."""
        seen = self._identity()
        if seen != self._seen:
            self._seen, self.needed = seen, batch

    def _save(self, window: Window) -> None:
        rollouts = window.rollouts
        told = {name: getattr(rollouts, name) for name in FIELDS} | {"measured": window.measured}
        tensors = {name: getattr(rollouts, name) for name in TENSORS if getattr(rollouts, name) is not None}
        with atomic(self._path(window.batch)) as temporary:
            save_file(tensors, temporary, metadata={"window": json.dumps(told)})
        keep = {self._path(window.batch), self._path(self.needed)}
        for path in (self.folder / "windows").glob("batch-*.safetensors"):
            if path not in keep:
                path.unlink()

    def _path(self, batch: int) -> Path:
        return self.folder / "windows" / f"batch-{batch + 1:05}.safetensors"

    def _identity(self):
        if not self.checkpoint.exists():
            return None
        found = self.checkpoint.stat()
        return found.st_ino, found.st_mtime_ns


def rest(loop, windows: Windows, batch: int) -> None:
    """Between two updates: write a checkpoint when it is time, stop cleanly where that is wished, and log nothing."""
    try:
        loop.after_step()
    finally:
        windows.noted(batch)
