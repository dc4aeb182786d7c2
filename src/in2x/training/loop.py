"""The training loop: the only place that goes backward and steps an optimizer.

One step: forward and backward for each micro-batch -> clip the gradient -> refuse what is not finite -> step.
A loss returns (loss, sums): the loss already divided by the whole step's count, so that micro-batches add up, and
`sums`, name -> (sum, count), which are added over micro-batches and ranks before they are logged as means: a name such
as "loss/web" is a mean over the part of the step that it counts.

Started by torchrun, every process makes the same micro-batches and computes its share of them; the gradient is that
of one process, up to the order of summation.
"""

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import nn

from in2x import distributed
from in2x.artifacts import In2xError, Interrupted
from in2x.model.precision import training_dtype
from in2x.training import checkpoints
from in2x.training.averages import Averages
from in2x.training.kernels import compiled_layers, prepare_model
from in2x.training.lora import add_adapter
from in2x.training.metrics import MetricsLog
from in2x.training.optimizers import make_optimizer
from in2x.training.sharding import Shards, whole
from in2x.training.spikes import Spikes
from in2x.training.throughput import Throughput

Sums = dict[str, tuple[float, float]]


class TrainingDiverged(In2xError):
    """The loss or the gradient is not finite, or has been far above its running level."""


class WithLoss(nn.Module):
    """A model and a loss over it as one forward pass: what is wrapped for several processes."""

    def __init__(self, model: nn.Module, compiled: Mapping[nn.Module, object]):
        super().__init__()
        self.model, self.compiled = model, list(compiled.items())

    def forward(self, loss: Callable, batch: dict):
        for layer, call in self.compiled:
            layer._compiled_call_impl = call
        try:
            return loss(self.model, batch)
        finally:
            for layer, _ in self.compiled:
                layer._compiled_call_impl = None


class Loop:
    """Optimizer, learning rate, checkpoints and log of one model in training.

    `lr(step)` is the learning rate of a 0-based step. The last checkpoint in `folder` is continued from. With a
    `tokenizer`, the texts of a batch that diverged are written beside its ids.
    """

    def __init__(
        self, model: nn.Module, settings, lr: Callable[[int], float], num_steps: int, folder: Path, tokenizer=None
    ):
        distributed.start()
        self.settings, self.lr, self.num_steps, self.folder = settings, lr, num_steps, folder
        self.tokenizer = tokenizer
        self.accelerator = Accelerator(cpu=not torch.cuda.is_available())
        self.dtype = training_dtype(settings.dtype, self.accelerator.device.type)
        model = prepare_model(model, settings)
        self.model = add_adapter(model, settings.lora) if settings.lora else model
        self.step, self.tokens, self.best = 0, 0, {}
        self.data_position: dict = {}  # what whoever gives the batches wants to go on from
        self.spikes = Spikes(settings.spike_factor, settings.stop_after_spikes) if settings.stop_after_spikes else None
        saved = checkpoints.last(folder)
        if saved:
            checkpoints.restore_weights(self.model, saved)
        self._wrap()
        self.averages = Averages(self.model, settings.ema_decay) if settings.ema_decay else None
        if saved:
            self._restore(saved)
        self.log = None
        if distributed.is_main():
            self.log = MetricsLog(folder, self.step, settings.trackers, settings.trackers_online)
        self.throughput = Throughput(self.model, settings, self.accelerator.device, distributed.world_size())
        self._saved_at = time.monotonic()
        self._stop_signal: int | None = None

    def _wrap(self) -> None:
        """Make what computes the step, and the optimizer, for one process or several."""
        wrapped = WithLoss(self.model, compiled_layers(self.model) if self.settings.compile else {})
        if self.settings.sharding == "fsdp" and distributed.world_size() > 1:  # layer by layer onto the device
            self.shards = Shards(wrapped, self.model, self.accelerator.device)
            self.wrapped, self.optimizer = wrapped, self._optimizer()
        else:
            self.shards = None
            self.model.to(self.accelerator.device)
            self.wrapped, self.optimizer = self.accelerator.prepare(wrapped, self._optimizer())

    def _optimizer(self) -> torch.optim.Optimizer:
        return make_optimizer(self.model, self.settings.optimizer, self.lr(0), getattr(torch, self.dtype))

    def precision(self) -> torch.autocast:
        """Context of the arithmetic that the model is trained in: mixed, where the recipe says bfloat16.

        Ours rather than accelerate's, which wraps `forward` only, while losses call the decoder and the head.
        """
        return torch.autocast(self.accelerator.device.type, torch.bfloat16, enabled=self.dtype == "bfloat16")

    # --- a step ---------------------------------------------------------------------------------------------------

    def optimizer_step(
        self, micro_batches: Iterable[dict], loss: Callable, ids: Callable[[], list] = list
    ) -> dict[str, float]:
        """One optimizer step over `micro_batches`; returns means of what the loss reported, and the gradient norm.

        `ids` lists the documents or segments of the step, for the error when the loss is not finite.
        """
        micro_batches = list(micro_batches)
        self.throughput.begin()
        self._use_averages(False)
        if self.shards:
            self.shards.part()
        self.model.train()
        totals = self._backward(micro_batches, loss)
        norm = self._clip()
        means = {name: total / number for name, (total, number) in totals.items() if number}
        self._refuse_divergence(norm, totals, means, micro_batches, ids)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr(self.step)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        if self.averages:
            self.averages.update(self.model, self.step)
        self.throughput.end(*_size(micro_batches))
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
            with self._exchange(last=turn == num_turns - 1):
                with self.precision():
                    value, sums = self.wrapped(loss, batch)
                self.accelerator.backward(value * (0 if idle else world_size))  # processes' gradients are averaged
            if not idle:
                _add(totals, sums)
        whole_step: dict[str, list[float]] = {}
        for part in distributed.gather(totals):
            _add(whole_step, part)
        return whole_step

    @contextmanager
    def _exchange(self, last: bool) -> Iterator[None]:
        """Processes exchange their gradients in the last backward pass of a step; where they are parted, in each."""
        if not self.shards:
            with nullcontext() if last else self.accelerator.no_sync(self.wrapped):
                yield
            return
        self.shards.at_work = True
        try:
            yield
        finally:
            self.shards.at_work = False

    def _clip(self) -> float:
        limit, parameters = self.settings.optimizer.max_gradient_norm, self.model.parameters()
        if not self.shards:
            return float(self.accelerator.clip_grad_norm_(parameters, limit))
        return float(whole(nn.utils.clip_grad_norm_(parameters, limit)))

    # --- what goes wrong ------------------------------------------------------------------------------------------

    def _refuse_divergence(self, norm: float, totals: dict, means: dict, micro_batches: list[dict], ids) -> None:
        if not all(torch.isfinite(torch.tensor([norm, *(total for total, _ in totals.values())]))):
            reason = f"the loss or its gradient is not finite (gradient norm {norm})"
        elif self.spikes and (found := self.spikes.see(gradient_norm=norm, loss=means.get("loss", 0.0))):
            reason = f"{found}, for {self.spikes.number} steps now"
        else:
            return
        dump = self.folder / f"diverged-step-{self.step + 1}.json"
        found = {"step": self.step + 1, "reason": reason, "gradient_norm": norm, "totals": totals, "ids": ids(),
                 "texts": self._texts(micro_batches)}  # fmt: skip
        if distributed.is_main():
            dump.write_text(json.dumps(found, ensure_ascii=False, indent=1), encoding="utf-8")
        saved = checkpoints.last(self.folder)
        last = f"the last good checkpoint is {saved}" if saved else "no checkpoint had been written yet"
        raise TrainingDiverged(
            f"step {self.step + 1}: {reason}; {last}. The ids and texts of the batch are in {dump}. Try a lower "
            "learning rate, more warm-up, or leave these rows out."
        )

    def _texts(self, micro_batches: list[dict]) -> list:
        """Every row of the step as text, or as token ids where no tokenizer is known."""
        rows = [row for batch in micro_batches if "input_ids" in batch for row in batch["input_ids"].tolist()]
        return [self.tokenizer.decode(row) for row in rows] if self.tokenizer else rows

    # --- after a step ---------------------------------------------------------------------------------------------

    def after_step(self, **values) -> None:
        """Log the values of the step; write a checkpoint when it is time; stop cleanly if any process had a signal."""
        if values and self.log and (self.step % self.settings.log_steps == 0 or self.step == self.num_steps):
            self.log.write(self.step, **values, **self.throughput.measures(self.num_steps - self.step))
        due = time.monotonic() - self._saved_at > self.settings.checkpoint_seconds
        told = distributed.gather((self._stop_signal is not None, due))
        if any(stop for stop, _ in told):
            self.save()
            raise Interrupted(
                f"stopped after step {self.step:,} of {self.num_steps:,}; the state is saved in "
                f"{self.folder / checkpoints.LAST}: run the same command again to continue"
            )
        if told[0][1] and not (self.spikes and self.spikes.number):  # a checkpoint from amid spikes is no good one
            self.save()

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Take SIGINT and SIGTERM as a wish to stop after the step in flight; the same once more stops at once.

        Leaving it after the last step makes the running mean of the weights, where there is one, the model.
        """

        def stop(number, frame):
            if self._stop_signal == number:
                raise KeyboardInterrupt
            self._stop_signal = number
            if distributed.is_main():
                print("  stopping after the step in flight, or what is between two; once more to stop at once",
                      file=sys.stderr, flush=True)  # fmt: skip

        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
            if self.averages and self.step >= self.num_steps:
                self._use_averages(True)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.log:
                self.log.close()

    @contextmanager
    def averaged(self, use: bool = True) -> Iterator[nn.Module]:
        """The model with the running mean of its weights, where there is one, to measure or save it as it will be."""
        before = self.averages.in_use if self.averages else use
        self._use_averages(use)
        try:
            yield self.model
        finally:
            self._use_averages(before)

    def _use_averages(self, use: bool) -> None:
        if not self.averages or self.averages.in_use == use:
            return
        if self.shards:
            self.shards.part()
        self.averages.exchange(self.model)

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write weights, optimizer, random state and position to folder/checkpoint, all at once, from all processes."""
        position = {"step": self.step, "tokens": self.tokens, "best": self.best, "data": self.data_position}
        with self.averaged(False):
            checkpoint = checkpoints.Checkpoint(
                checkpoints.weights_of(self.model, checkpoints.trained_names(self.model)),
                checkpoints.optimizer_state_of(self.model, _plain(self.optimizer)),
                checkpoints.averages_of(self.averages),
                position | ({"spikes": self.spikes.state()} if self.spikes else {}),
            )
            distributed.on_main(lambda: checkpoints.write(self.folder, self.model, checkpoint, self.settings.keep_last))
        self._saved_at = time.monotonic()

    def keep_best(self, name: str, value: float, higher_is_better: bool = True) -> bool:
        """Keep the model, as it would be saved now, in folder/best, if no earlier `value` of `name` beats it."""
        before = self.best.get(name)
        if before is not None and (value <= before if higher_is_better else value >= before):
            return False
        self.best = {name: value}
        with self.averaged():
            weights = checkpoints.weights_of(self.model, checkpoints.names_of(self.model))
            found = {"step": self.step, "measure": name, "value": value}
            distributed.on_main(lambda: checkpoints.write_best(self.folder, self.model, weights, found))
        return True

    def use_best(self) -> None:
        """Make what `keep_best` has kept the model, after the last step: no mean takes its place any more."""
        checkpoints.restore_best(self.model, self.folder)
        self.averages = None

    def _restore(self, saved: Path) -> None:
        if self.averages:
            checkpoints.restore_averages(self.averages, saved)
        checkpoints.restore_optimizer(self.model, _plain(self.optimizer), saved)
        position = checkpoints.position(saved)
        self.step, self.tokens, self.best = position["step"], position["tokens"], position.get("best", {})
        self.data_position = position.get("data", {})
        if self.spikes and "spikes" in position:
            self.spikes.load(position["spikes"])


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


def _size(micro_batches: list[dict]) -> tuple[int, float]:
    """Tokens of a step, padding included, and the mean length of the rows that they stand in."""
    shapes = [batch["input_ids"].shape for batch in micro_batches if "input_ids" in batch]
    tokens = sum(shape.numel() for shape in shapes)
    return tokens, sum(shape.numel() * shape[-1] for shape in shapes) / max(1, tokens)
