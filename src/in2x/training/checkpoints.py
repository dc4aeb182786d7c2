"""Checkpoints: all that a stage needs to go on as if it had never stopped, in a folder that is written all at once.

    checkpoint/             the last one
      config.json  model.safetensors      the weights, as transformers loads them; or, of an adapter, adapter/
      optimizer.safetensors               its state by parameter and field, and the state of random numbers
      averages.safetensors                the running mean of the weights, where there is one
      state.json                          step, tokens, position in the data, the best value so far, running levels
    checkpoint-<step>/      the ones before it, where more than one is kept
    best/                   the weights that measured best, as a model folder, and best.json

Parted tensors are written whole: a run may be continued by another number of processes.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from in2x import distributed
from in2x.artifacts import In2xError, atomic, read_json, storage_problem
from in2x.training.lora import has_adapter, is_adapter, merged, read_adapter, save_adapter
from in2x.training.sharding import like, whole

LAST, BEST = "checkpoint", "best"
RANDOM_STATE = "random_state"

State = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name: `weights` of the model (of the adapter alone, where there is one), `optimizer`, `averages`."""

    weights: State
    optimizer: State
    averages: State
    position: dict


def last(folder: Path) -> Path | None:
    """The newest complete checkpoint of a stage's folder."""
    found = [path for path in (folder / LAST, *_earlier(folder)[::-1]) if (path / "state.json").exists()]
    return found[0] if found else None


def write(folder: Path, model: nn.Module, checkpoint: Checkpoint, keep: int = 1) -> None:
    """Write folder/checkpoint, and keep the `keep` - 1 before it.

    Raises:
        In2xError: there is no room, or no permission; the checkpoints before it are as they were.
    """
    try:
        with atomic(folder / LAST) as temporary:
            temporary.mkdir()
            _write_model(temporary, model, checkpoint.weights)
            save_file(checkpoint.optimizer, temporary / "optimizer.safetensors")
            if checkpoint.averages:
                save_file(checkpoint.averages, temporary / "averages.safetensors")
            (temporary / "state.json").write_text(json.dumps(checkpoint.position), encoding="utf-8")
            if keep > 1:
                _set_aside(folder)
    except (OSError, SafetensorError) as error:
        raise _no_room(error, folder, f"the checkpoint of step {checkpoint.position['step']:,}") from error
    for path in _earlier(folder)[: -(keep - 1) or None]:
        shutil.rmtree(path)


def write_best(folder: Path, model: nn.Module, weights: State, found: Mapping) -> None:
    """Write folder/best: an ordinary model, the adapter merged into it and beside it, and what it measured."""
    state = merged(weights, model) if has_adapter(model) else weights
    try:
        with atomic(folder / BEST) as temporary:
            temporary.mkdir()
            _write_config(temporary, model)
            save_file(state, temporary / "model.safetensors", {"format": "pt"})
            if has_adapter(model):
                save_adapter(weights, model, temporary / "adapter")
            (temporary / "best.json").write_text(json.dumps(dict(found)), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise _no_room(error, folder, f"the best model, of step {found['step']:,}") from error


@torch.no_grad()
def restore_best(model: nn.Module, folder: Path) -> None:
    """Load folder/best into the model that is trained, parted or with an adapter as it may be."""
    best = folder / BEST
    if not (best / "best.json").exists():
        raise In2xError(f"{best}: nothing has been measured yet that could be the best")
    adapter = has_adapter(model)
    weights = read_adapter(best / "adapter", model) if adapter else load_file(best / "model.safetensors")
    for name, tensor in model.state_dict(keep_vars=True).items():
        if name in weights:
            tensor.copy_(like(weights[name], tensor))


def restore_weights(model: nn.Module, checkpoint: Path) -> None:
    """Load a checkpoint's weights into the model, before it is parted.

    Raises:
        In2xError: it is a checkpoint of another model.
    """
    adapter = has_adapter(model)
    weights = read_adapter(checkpoint / "adapter", model) if adapter else load_file(checkpoint / "model.safetensors")
    own = set(trained_names(model))
    if weights.keys() != own:
        lacking, beside = sorted(own - weights.keys())[:5], sorted(weights.keys() - own)[:5]
        raise In2xError(
            f"{checkpoint}: not a checkpoint of this model: it lacks {lacking}, and has {beside} beside; "
            "delete it to start the stage again"
        )
    model.load_state_dict(weights, strict=False)  # tied weights are stored once


def restore_optimizer(model: nn.Module, optimizer, checkpoint: Path) -> None:
    """Load the optimizer's state, and the state of random numbers."""
    saved = load_file(checkpoint / "optimizer.safetensors")
    _set_random_state(saved)
    parameters = dict(model.named_parameters())
    states: dict[str, State] = {}
    for key, value in saved.items():
        name, field = key.rsplit("/", 1)
        states.setdefault(name, {})[field] = like(value, parameters[name])
    names = {id(parameter): name for name, parameter in parameters.items()}
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    state = {number: states[name] for number, name in enumerate(order) if name in states}
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def restore_averages(averages, checkpoint: Path) -> None:
    file = checkpoint / "averages.safetensors"
    if not file.exists():
        raise In2xError(f"{checkpoint}: has no running mean of the weights; delete it to start again with ema_decay")
    for name, value in load_file(file).items():
        averages.means[name] = like(value, averages.means[name]).to(averages.means[name].device)


def position(checkpoint: Path) -> dict:
    return read_json(checkpoint / "state.json")


# --- tensors of a stage in training: all processes must ask for them ------------------------------------------


def names_of(model: nn.Module) -> list[str]:
    """Names of parameters and buffers; one that several names share appears once, under the first."""
    names: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), name)
    return list(names.values())


def trained_names(model: nn.Module) -> list[str]:
    """Of an adapter its own names, otherwise all."""
    return [name for name in names_of(model) if not has_adapter(model) or is_adapter(name)]


def weights_of(model: nn.Module, names: list[str]) -> State:
    return _whole(model.state_dict(), names)


def optimizer_state_of(model: nn.Module, optimizer) -> State:
    """ "parameter/field" of the optimizer, and the state of random numbers."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    fields = {
        f"{names[id(parameter)]}/{field}": torch.as_tensor(value)
        for parameter, state in optimizer.state.items()
        for field, value in state.items()
    }
    return _whole(fields, list(fields)) | _random_state()


def averages_of(averages) -> State:
    return _whole(averages.means, list(averages.means)) if averages else {}


def _whole(state: Mapping[str, torch.Tensor], names: list[str]) -> State:
    """The tensors as the main process writes them; the others help to gather them, and keep none."""
    found = {}
    for name in names:
        tensor = whole(state[name].detach())
        if distributed.is_main():
            found[name] = tensor.cpu().contiguous()
    return found


def _random_state() -> State:
    state = {RANDOM_STATE: torch.get_rng_state()}
    return state | ({f"{RANDOM_STATE}_cuda": torch.cuda.get_rng_state()} if torch.cuda.is_available() else {})


def _set_random_state(saved: State) -> None:
    torch.set_rng_state(saved.pop(RANDOM_STATE))
    cuda = saved.pop(f"{RANDOM_STATE}_cuda", None)
    if cuda is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(cuda)


# --- files ----------------------------------------------------------------------------------------------------


def _write_model(folder: Path, model: nn.Module, weights: State) -> None:
    if has_adapter(model):
        save_adapter(weights, model, folder / "adapter")
        return
    _write_config(folder, model)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def _write_config(folder: Path, model: nn.Module) -> None:
    config = json.loads(model.config.to_json_string()) | {"architectures": [type(model).__name__]}
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def _earlier(folder: Path) -> list[Path]:
    """Earlier checkpoints, oldest first."""
    found = [path for path in folder.glob(f"{LAST}-*") if path.name.removeprefix(f"{LAST}-").isdigit()]
    return sorted(found, key=lambda path: int(path.name.rsplit("-", 1)[1]))


def _set_aside(folder: Path) -> None:
    """Give the last checkpoint the name of its step: a kill from here on leaves it as the newest."""
    if (folder / LAST / "state.json").exists():
        aside = folder / f"{LAST}-{position(folder / LAST)['step']}"
        if aside.exists():
            shutil.rmtree(aside)
        os.replace(folder / LAST, aside)


def _no_room(error: Exception, folder: Path, what: str) -> Exception:
    reason = storage_problem(error)
    if reason is None:
        return error
    kept = last(folder)
    untouched = f"{kept} is as it was" if kept else "there is no earlier one"
    return In2xError(f"{folder}: {what} could not be written: {reason}; {untouched}. Mend this and run the same "
                     "command again to continue from there")  # fmt: skip
