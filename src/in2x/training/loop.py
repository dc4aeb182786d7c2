"""The training loop: the only place that goes backward and steps an optimizer.

One step: forward and backward for each micro-batch -> clip the gradient -> refuse what is not finite -> step.
A loss returns (loss, sums): the loss already divided by the whole step's count, so that micro-batches add up, and
`sums`, name -> (sum, count), which are added over micro-batches and ranks before they are logged as means.

Started by torchrun, every process makes the same micro-batches and computes its share of them; the gradient is that
of one process, up to the order of summation.
"""

import json
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn

from in2x import distributed
from in2x.artifacts import In2xError, Interrupted, atomic, read_json
from in2x.training.metrics import MetricsLog
from in2x.training.optimizers import make_optimizer

Sums = dict[str, tuple[float, float]]


class TrainingDiverged(In2xError):
    """The loss or the gradient is not finite."""


class WithLoss(nn.Module):
    """A model and a loss over it as one forward pass: what is wrapped for several processes."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, loss: Callable, batch: dict):
        return loss(self.model, batch)


class Loop:
    """Optimizer, learning rate, checkpoints and log of one model in training.

    `lr(step)` is the learning rate of a 0-based step. A checkpoint in `folder`/checkpoint is continued from.
    """

    def __init__(self, model: nn.Module, settings, lr: Callable[[int], float], num_steps: int, folder: Path):
        self.settings, self.lr, self.num_steps, self.folder = settings, lr, num_steps, folder
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.model = model
        optimizer = make_optimizer(model, settings.optimizer, lr(0))
        self.wrapped, self.optimizer = self.accelerator.prepare(WithLoss(model), optimizer)
        self.step, self.tokens = 0, 0
        if (folder / "checkpoint").exists():
            self._restore()
        self.log = MetricsLog(folder, self.step) if distributed.is_main() else None
        self._saved_at = time.monotonic()
        self._stop_signal: int | None = None

    def precision(self) -> torch.autocast:
        """Context of the arithmetic that the model is trained in: mixed, where the recipe says bfloat16.

        Ours rather than accelerate's, which wraps `forward` only, while losses call the decoder and the head.
        """
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.settings.dtype == "bfloat16")

    def optimizer_step(
        self, micro_batches: Iterable[dict], loss: Callable, ids: Callable[[], list] = list
    ) -> dict[str, float]:
        """One optimizer step over `micro_batches`; returns means of what the loss reported, and the gradient norm.

        `ids` lists the documents or segments of the step, for the error when the loss is not finite.
        """
        self.model.train()
        totals = self._backward(list(micro_batches), loss)
        limit = self.settings.optimizer.max_gradient_norm
        norm = float(self.accelerator.clip_grad_norm_(self.model.parameters(), limit))
        self._refuse_unless_finite(norm, totals, ids)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        means = {name: total / number for name, (total, number) in totals.items() if number}
        return means | {"gradient_norm": norm, "learning_rate": self.lr(self.step - 1)}

    def _backward(self, micro_batches: list[dict], loss: Callable) -> dict[str, list[float]]:
        """Gradients of the whole step, in every process; returns the sums over all micro-batches."""
        world_size = distributed.world_size()
        num_turns = -(-len(micro_batches) // world_size)
        totals: dict[str, list[float]] = {}
        for turn in range(num_turns):
            place = turn * world_size + distributed.rank()
            idle = place >= len(micro_batches)  # it computes what another does, for nothing: wrappers want equal turns
            chosen = micro_batches[turn * world_size if idle else place]
            batch = {name: _on(self.accelerator.device, x) for name, x in chosen.items()}
            last = turn == num_turns - 1
            with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                with self.precision():
                    value, sums = self.wrapped(loss, batch)
                self.accelerator.backward(value * (0 if idle else world_size))  # processes' gradients are averaged
            if not idle:
                _add(totals, sums)
        whole: dict[str, list[float]] = {}
        for part in distributed.gather(totals):
            _add(whole, part)
        return whole

    def _refuse_unless_finite(self, norm: float, totals: dict, ids: Callable) -> None:
        if all(torch.isfinite(torch.tensor([norm, *(total for total, _ in totals.values())]))):
            return
        dump = self.folder / f"diverged-step-{self.step + 1}.json"
        found = {"step": self.step + 1, "gradient_norm": norm, "totals": totals, "ids": ids()}
        if distributed.is_main():
            dump.write_text(json.dumps(found, indent=1))
        saved = self.folder / "checkpoint"
        last = f"the last good checkpoint is {saved}" if saved.exists() else "no checkpoint had been written yet"
        raise TrainingDiverged(
            f"step {self.step + 1}: the loss or its gradient is not finite (gradient norm {norm}); {last}. The ids of "
            f"the batch are in {dump}. Try a lower learning rate, more warm-up, or leave these rows out."
        )

    def after_step(self, **values) -> None:
        """Log the step; write a checkpoint when it is time; stop cleanly if a signal has reached any process."""
        if self.log and (self.step % self.settings.log_steps == 0 or self.step == self.num_steps):
            self.log.write(self.step, **values)
        if any(distributed.gather(self._stop_signal is not None)):
            self.save()
            raise Interrupted(
                f"stopped after step {self.step:,} of {self.num_steps:,}; the state is saved in "
                f"{self.folder / 'checkpoint'}: run the same command again to continue"
            )
        if time.monotonic() - self._saved_at > self.settings.checkpoint_seconds:
            self.save()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as a wish to stop after the step in flight; the same once more stops at once."""

        def stop(number, frame):
            if self._stop_signal == number:
                raise KeyboardInterrupt
            self._stop_signal = number

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.log:
                self.log.close()

    def save(self) -> None:
        """Write weights, optimizer, random state and position to folder/checkpoint, all at once."""
        if not distributed.is_main():
            return
        names = {id(parameter): name for name, parameter in self.model.named_parameters()}
        optimizer = {
            f"{names[id(parameter)]}/{key}": torch.as_tensor(value).contiguous()
            for parameter, state in _plain(self.optimizer).state.items()
            for key, value in state.items()
        }
        with atomic(self.folder / "checkpoint") as temporary:
            temporary.mkdir()
            save_file(_weights(self.model), temporary / "model.safetensors")
            save_file(optimizer | {"random_state": torch.get_rng_state()}, temporary / "optimizer.safetensors")
            (temporary / "state.json").write_text(json.dumps({"step": self.step, "tokens": self.tokens}))
        self._saved_at = time.monotonic()

    def _restore(self) -> None:
        folder = self.folder / "checkpoint"
        weights, own = load_file(folder / "model.safetensors"), _weights(self.model)
        if weights.keys() != own.keys():
            lacking, beside = sorted(own.keys() - weights.keys())[:5], sorted(weights.keys() - own.keys())[:5]
            raise In2xError(
                f"{folder}: not a checkpoint of this model: it lacks {lacking}, and has {beside} beside; "
                "delete it to start the stage again"
            )
        self.model.load_state_dict(weights, strict=False)  # tied weights are stored once
        self._restore_optimizer(load_file(folder / "optimizer.safetensors"))
        position = read_json(folder / "state.json")
        self.step, self.tokens = position["step"], position["tokens"]

    def _restore_optimizer(self, saved: dict[str, torch.Tensor]) -> None:
        torch.set_rng_state(saved.pop("random_state"))
        states: dict[str, dict[str, torch.Tensor]] = {}
        for key, value in saved.items():
            name, field = key.rsplit("/", 1)
            states.setdefault(name, {})[field] = value
        optimizer, names = _plain(self.optimizer), {id(x): name for name, x in self.model.named_parameters()}
        order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
        state = {number: states[name] for number, name in enumerate(order) if name in states}
        optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def _weights(model: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and buffers by name; one that several names share appears once, under the first."""
    names: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), name)
    state = model.state_dict()
    return {name: state[name].contiguous() for name in names.values()}


def _plain(optimizer):
    """The torch optimizer inside accelerate's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)


def _add(totals: dict[str, list[float]], sums: Mapping) -> None:
    for name, (total, number) in sums.items():
        entry = totals.setdefault(name, [0.0, 0.0])
        entry[0] += float(total)
        entry[1] += float(number)


def _on(device: torch.device, value):
    return value.to(device) if isinstance(value, torch.Tensor) else value
