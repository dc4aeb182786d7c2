"""Ways to compute the same model faster or in less memory: recomputed activations, torch.compile, Liger's kernels."""

import torch
from torch import nn

from in2x.artifacts import In2xError
from in2x.model.fused import use_fused
from in2x.training.sharding import layers_of


def prepare_model(model: nn.Module, settings) -> nn.Module:
    """The model as a recipe's settings want it computed; its weights stay as they are.

    Raises:
        In2xError: the model, the machine or a missing package doesn't allow it.
    """
    if settings.gradient_checkpointing:
        if not getattr(model, "supports_gradient_checkpointing", False):
            raise In2xError(f"gradient_checkpointing: {type(model).__name__} of transformers doesn't support it")
        _recompute(model)
    if settings.liger:
        _apply_liger(model)
        return model
    return use_fused(model)


def _recompute(model: nn.Module) -> None:
    """Keep of each layer its input alone.

    Autocast would keep the bfloat16 copies of all layers' weights until the loss is there: they go with their layer.
    Newer versions of transformers have another name for it, and warn of the old one.
    """
    for layer in layers_of(model):
        layer.register_forward_hook(lambda *_: torch.clear_autocast_cache())
    kwargs = {"use_reentrant": False}
    if hasattr(model, "activation_checkpointing_enable"):
        model.activation_checkpointing_enable(kwargs)
    else:
        model.gradient_checkpointing_enable(kwargs)


def compiled_layers(model: nn.Module) -> dict[nn.Module, object]:
    """torch.compile of every layer, for lengths that vary; generation goes on with the layers as they are."""
    return {layer: torch.compile(layer._call_impl, dynamic=True) for layer in layers_of(model)}


def _apply_liger(model: nn.Module) -> None:
    if not torch.cuda.is_available():
        raise In2xError("liger: its kernels need a GPU, and torch sees none; take `liger` out of the recipe")
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
        from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN as known
    except ImportError as error:
        raise In2xError(f"liger: needs the package liger-kernel ({error}): pip install 'in2x[liger]'") from None
    if model.config.model_type not in known:
        raise In2xError(f"liger: has no kernels for {model.config.model_type}; take `liger` out of the recipe")
    _apply_liger_kernel_to_instance(model=model, fused_linear_cross_entropy=False, cross_entropy=False)
