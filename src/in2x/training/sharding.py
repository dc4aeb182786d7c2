"""Weights, gradients and optimizer state parted among the processes: FSDP2 (torch's fully_shard).

Every layer is gathered when it is computed, and parted again after it; gradients are parted as soon as they are there.
So it is between the steps, too, where all processes compute in step (`distributed.in_turns`): perplexities, hidden
states, log-probabilities. Generation isn't in step: it needs the whole model, which is gathered for it, and parted
again by the next training step. accelerate wraps FSDP2 on GPUs only, so torch's own is called: one code for gloo and
NCCL.
"""

import torch
from torch import nn
from torch.distributed.tensor import DTensor, distribute_tensor

from in2x import distributed


class Shards:
    """The parted modules of `wrapped`, which computes `model` and a loss in one forward pass."""

    def __init__(self, wrapped: nn.Module, model: nn.Module, device: torch.device):
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(device.type, (distributed.world_size(),))
        for layer in layers_of(model):
            fully_shard(layer, mesh=mesh)
        fully_shard(wrapped, mesh=mesh)
        self.wrapped, self.at_work, self.has_tables, self.is_whole = wrapped, False, False, False
        self.modules = [module for module in wrapped.modules() if hasattr(module, "unshard")]
        self._begin()
        for module in {model, model.get_decoder()}:
            module.register_forward_pre_hook(self._before_forward, with_kwargs=True)
            module.register_state_dict_pre_hook(lambda *_: self.part())  # FSDP does it, and would not tell

    def gather(self) -> None:
        """Put the whole model into every process, until the next training step; all processes must come here."""
        if self.is_whole:
            return
        for module in self.modules:
            module.set_reshard_after_forward(False, recurse=False)
            module.unshard()
        self.has_tables = self.is_whole = True

    def part(self) -> None:
        """Keep this process's share only."""
        if self.is_whole:
            for module in self.modules:
                module.set_reshard_after_forward(module is not self.wrapped, recurse=False)
                module.reshard()
        elif self.has_tables:
            self.wrapped.reshard()
        self.has_tables = self.is_whole = False

    @torch.no_grad()
    def _begin(self) -> None:
        """Let FSDP know its root by a first pass through it, and gather each module once: in inference mode, where the
        first call may be, it would make tensors that can't be trained."""
        self.wrapped(lambda *_: torch.zeros(()), {})
        for module in self.modules:
            module.unshard()
            module.reshard()

    def _before_forward(self, module, args, kwargs) -> None:
        """Outside of a training step: gather embedding and head, which no layer has; the whole for generation."""
        if self.at_work:
            return
        if kwargs.get("use_cache") is not False:
            self.gather()
        elif not self.has_tables:
            self.wrapped.unshard()
            self.has_tables = True


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The layers that transformers says must stay on one device: those of the decoder."""
    names = set(getattr(model, "_no_split_modules", None) or ())
    return [module for module in model.modules() if type(module).__name__ in names]


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """The whole of a tensor that may be parted; all processes must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def like(tensor: torch.Tensor, pattern: torch.Tensor) -> torch.Tensor:
    """`tensor`, which every process has, parted as `pattern` is, where they are of one shape."""
    if not isinstance(pattern, DTensor) or tensor.shape != pattern.shape:
        return tensor
    return distribute_tensor(tensor.to(pattern.device), pattern.device_mesh, pattern.placements, src_data_rank=None)
