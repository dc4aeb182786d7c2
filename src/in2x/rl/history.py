"""The steps of a run, a JSON line each, so that a resumed run knows exactly what the interrupted one knew.

history.jsonl: step (as the optimizer counts) and batch (1-based), and then either, for an optimizer step, coefficient
(of its entropy bonus) and update (what it measured), or, for a complete batch, measured (as in metrics.jsonl).
"""

import json
from pathlib import Path

from in2x import distributed
from in2x.artifacts import In2xError, atomic


class History:
    """Lines up to the step that the run continues from; the main process writes, all know the same."""

    def __init__(self, folder: Path, step: int):
        self.path = folder / "history.jsonl"
        self.lines: list[dict] = distributed.on_main(lambda: self._kept(step))
        last = self.lines[-1]["step"] if self.lines else 0
        if last != step:
            raise In2xError(
                f"{self.path}: ends at step {last}, but the checkpoint beside it is of step {step}; "
                f"delete {folder} to start the stage again"
            )

    def _kept(self, step: int) -> list[dict]:
        """The lines of steps that the checkpoint knows of; a line cut short by a kill is later than it."""
        lines = []
        for text in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else ():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if line["step"] > step:
                break
            lines.append(line)
        with atomic(self.path) as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        return lines

    def add_update(self, step: int, batch: int, coefficient: float, update: dict) -> None:
        self._add({"step": step, "batch": batch, "coefficient": coefficient, "update": update})

    def add_batch(self, step: int, batch: int, measured: dict) -> None:
        self._add({"step": step, "batch": batch, "measured": measured})

    def _add(self, line: dict) -> None:
        self.lines.append(line)
        if distributed.is_main():
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line) + "\n")

    def updates(self, batch: int) -> list[dict]:
        """What the steps of a batch (1-based) have measured so far."""
        return [line["update"] for line in self.lines if line["batch"] == batch and "update" in line]

    @property
    def batches(self) -> list[dict]:
        """What was watched of each complete batch, in order."""
        return [line["measured"] for line in self.lines if "measured" in line]

    def last_entropy(self) -> tuple[float | None, float | None]:
        """Coefficient of the entropy bonus in the last step, and that step's entropy; None before the first."""
        line = next((line for line in reversed(self.lines) if "update" in line), None)
        return (line["coefficient"], line["update"].get("entropy")) if line else (None, None)
