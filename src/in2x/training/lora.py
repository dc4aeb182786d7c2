"""Low-rank adapters through peft (the extra `lora`): LoRA (arXiv 2106.09685) and DoRA (arXiv 2402.09353).

The adapter's layers are put into the model in place, which keeps its class. What is saved for the next stage is an
ordinary model: every changed matrix W becomes W + s B A, with s = alpha / rank; for DoRA its rows are then brought to
the trained lengths.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from in2x.artifacts import In2xError

ADAPTER = "default"
BASE = ".base_layer"
PREFIX = "base_model.model."
"""Of names in an adapter that peft loads."""


def add_adapter(model: nn.Module, settings) -> nn.Module:
    """Put an adapter into the model's layers and freeze all else; `settings` is a recipe's `lora` table.

    Raises:
        In2xError: peft is missing, or the model has no layer of a name in `settings.targets`.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise In2xError(f"lora: needs the package peft ({error}): pip install 'in2x[lora]'") from None
    targets = settings.targets if isinstance(settings.targets, str) else list(settings.targets)
    config = LoraConfig(
        r=settings.rank, lora_alpha=settings.alpha, lora_dropout=settings.dropout, use_dora=settings.dora,
        target_modules=targets,
    )  # fmt: skip
    try:
        inject_adapter_in_model(config, model, ADAPTER)
    except ValueError as error:
        raise In2xError(f"lora.targets: {error}") from None
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(is_adapter(name))
    return model


def has_adapter(model: nn.Module) -> bool:
    return next(_layers(model), None) is not None


def is_adapter(name: str) -> bool:
    """Whether a parameter of this name belongs to an adapter."""
    return ".lora_" in name


@contextmanager
def without_adapter(model: nn.Module) -> Iterator[nn.Module]:
    """The model as it was before the adapter was put in: the frozen reference of RL, at no memory."""
    layers = [layer for _, layer in _layers(model)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield model
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def merged(state: Mapping[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """The state of the ordinary model that computes what `model` does; `state` is that of the model, whole."""
    result = {name.replace(BASE, ""): tensor for name, tensor in state.items() if not is_adapter(name)}
    for name, layer in _layers(model):
        down, up = (state[f"{name}.lora_{part}.{ADAPTER}.weight"].float() for part in "AB")
        weight = state[f"{name}{BASE}.weight"]
        changed = weight.float() + layer.scaling[ADAPTER] * (up @ down)
        lengths = state.get(f"{name}.lora_magnitude_vector.{ADAPTER}.weight")
        if lengths is not None:
            changed = changed * (lengths.float() / changed.norm(dim=1))[:, None]
        result[f"{name}.weight"] = changed.to(weight.dtype)
    return result


def save_adapter(state: Mapping[str, torch.Tensor], model: nn.Module, folder: Path) -> None:
    """Write the adapter alone as peft does: adapter_model.safetensors and adapter_config.json."""
    from safetensors.torch import save_file

    own = {PREFIX + _peft_name(name): tensor.contiguous() for name, tensor in state.items() if is_adapter(name)}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(own, folder / "adapter_model.safetensors", {"format": "pt"})
    config = model.peft_config[ADAPTER].to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    (folder / "adapter_config.json").write_text(json.dumps(plain, indent=1, default=str) + "\n", encoding="utf-8")


def read_adapter(folder: Path, model: nn.Module) -> dict[str, torch.Tensor]:
    """What `save_adapter` wrote, by the names of the model; unknown names stay as they are."""
    from safetensors.torch import load_file

    names = {PREFIX + _peft_name(name): name for name in model.state_dict() if is_adapter(name)}
    return {names.get(name, name): tensor for name, tensor in load_file(folder / "adapter_model.safetensors").items()}


def _peft_name(name: str) -> str:
    name = name.replace(f".{ADAPTER}", "")
    return name.removesuffix(".weight") if ".lora_magnitude_vector" in name else name


def _layers(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in model.named_modules() if hasattr(module, "lora_A"))
