"""The training loop: the only place that goes backward and steps an optimizer.

One step: forward and backward for each micro-batch -> clip the gradient -> refuse what is not finite -> step.
A loss returns (loss, sums): the loss already divided by the whole step's count, so that micro-batches add up, and
`sums`, name -> (sum, count), which are added over micro-batches and ranks before they are logged as means.
"""

import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn

from in2x.artifacts import In2xError, atomic, read_json
from in2x.training.metrics import MetricsLog
from in2x.training.optimizers import make_optimizer

Sums = dict[str, tuple[float, float]]


class TrainingDiverged(In2xError):
    """The loss or the gradient is not finite."""


class Interrupted(In2xError):
    """Ctrl-C or SIGTERM arrived: the state was saved after the step in flight."""


class Loop:
    """Optimizer, learning rate, checkpoints and log of one model in training.

    `lr(step)` is the learning rate of a 0-based step. A checkpoint in `folder`/checkpoint is continued from.
    """

    def __init__(self, model: nn.Module, settings, lr: Callable[[int], float], num_steps: int, folder: Path):
        self.settings, self.lr, self.num_steps, self.folder = settings, lr, num_steps, folder
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available(),
                                       mixed_precision="bf16" if settings.dtype == "bfloat16" else "no")  # fmt: skip
        optimizer = make_optimizer(model, settings.optimizer, lr(0))
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.step, self.tokens = 0, 0
        if (folder / "checkpoint").exists():
            self._restore()
        self.log = MetricsLog(folder, self.step)
        self._saved_at = time.monotonic()
        self._stop_signal: int | None = None

    @property
    def unwrapped(self) -> nn.Module:
        return self.accelerator.unwrap_model(self.model)

    def optimizer_step(self, micro_batches: Iterable[dict], loss: Callable, ids: Callable[[], list] = list) -> dict[str, float]:
        """One optimizer step over `micro_batches`; returns means of what the loss reported, and the gradient norm.

        `ids` lists the documents or segments of the step, for the error when the loss is not finite.
        """
        self.model.train()
        totals: dict[str, list[float]] = {}
        for micro_batch in micro_batches:
            value, sums = loss(self.model, {name: _on(self.accelerator.device, x) for name, x in micro_batch.items()})
            self.accelerator.backward(value)
            for name, (total, number) in sums.items():
                entry = totals.setdefault(name, [0.0, 0.0])
                entry[0] += float(total)
                entry[1] += float(number)
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), self.settings.optimizer.max_gradient_norm))
        self._refuse_unless_finite(norm, totals, ids)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        means = {name: total / number for name, (total, number) in totals.items() if number}
        return means | {"gradient_norm": norm, "learning_rate": self.lr(self.step - 1)}

    def _refuse_unless_finite(self, norm: float, totals: dict, ids: Callable) -> None:
        if all(torch.isfinite(torch.tensor([norm, *(total for total, _ in totals.values())]))):
            return
        dump = self.folder / f"diverged-step-{self.step + 1}.json"
        dump.write_text(json.dumps({"step": self.step + 1, "gradient_norm": norm, "totals": totals, "ids": ids()}, indent=1))
        saved = self.folder / "checkpoint"
        last = f"the last good checkpoint is {saved}" if saved.exists() else "no checkpoint had been written yet"
        raise TrainingDiverged(
            f"step {self.step + 1}: the loss or its gradient is not finite (gradient norm {norm}); {last}. The ids of "
            f"the batch are in {dump}. Try a lower learning rate, more warm-up, or leave these rows out."
        )

    def after_step(self, **values) -> None:
        """Log the step; write a checkpoint when it is time; stop cleanly if a signal has arrived."""
        if self.step % self.settings.log_steps == 0 or self.step == self.num_steps:
            self.log.write(self.step, **values)
        if self._stop_signal is not None:
            self.save()
            raise Interrupted(f"stopped after step {self.step:,} of {self.num_steps:,}; the state is saved in "
                              f"{self.folder / 'checkpoint'}: run the same command again to continue")  # fmt: skip
        if time.monotonic() - self._saved_at > self.settings.checkpoint_seconds:
            self.save()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as a wish to stop after the step in flight; a second one stops at once."""
        def stop(number, frame):
            if self._stop_signal is not None:
                raise KeyboardInterrupt
            self._stop_signal = number

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.log.close()

    def save(self) -> None:
        """Write weights, optimizer, random state and position to folder/checkpoint, all at once."""
        if not self.accelerator.is_main_process:
            return
        names = {id(parameter): name for name, parameter in self.unwrapped.named_parameters()}
        optimizer = {
            f"{names[id(parameter)]}/{key}": torch.as_tensor(value).contiguous()
            for parameter, state in _plain(self.optimizer).state.items()
            for key, value in state.items()
        }
        with atomic(self.folder / "checkpoint") as temporary:
            temporary.mkdir()
            weights = {name: tensor.contiguous() for name, tensor in self.unwrapped.state_dict().items()}
            tied = set(getattr(self.unwrapped, "_tied_weights_keys", None) or ())
            save_file({name: tensor for name, tensor in weights.items() if name not in tied}, temporary / "model.safetensors")
            save_file(optimizer | {"random_state": torch.get_rng_state()}, temporary / "optimizer.safetensors")
            (temporary / "state.json").write_text(json.dumps({"step": self.step, "tokens": self.tokens}))
        self._saved_at = time.monotonic()

    def _restore(self) -> None:
        folder = self.folder / "checkpoint"
        position = read_json(folder / "state.json")
        self.unwrapped.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
        saved = load_file(folder / "optimizer.safetensors")
        torch.set_rng_state(saved.pop("random_state"))
        parameters = dict(self.unwrapped.named_parameters())
        for key, value in saved.items():
            name, field = key.rsplit("/", 1)
            _plain(self.optimizer).state[parameters[name]][field] = value
        self.step, self.tokens = position["step"], position["tokens"]


def _plain(optimizer):
    """The torch optimizer inside accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


def _on(device: torch.device, value):
    return value.to(device) if isinstance(value, torch.Tensor) else value
