"""How fast a stage trains, how much of the machine it uses, and when it will be done."""

import functools
import time

import psutil
import torch
from torch import nn

from in2x.model.precision import training_dtype

MATRIX_SIDE = {"cpu": 1024, "cuda": 8192}


class Throughput:
    """Time and floating-point operations of the steps so far, from the first one of this process."""

    def __init__(self, model: nn.Module, settings, device: torch.device, num_devices: int):
        self.model, self.device = model, device
        peak = settings.peak_tflops
        self.peak = None
        if peak is not None:
            one = (
                measured_peak(device.type, training_dtype(settings.dtype, device.type))
                if peak == "measure"
                else peak * 1e12
            )
            self.peak = one * num_devices
        self.per_token = None
        self.started, self.num_steps = time.monotonic(), 0
        self.step_seconds = self.step_flops = 0.0

    def begin(self) -> None:
        self._began = time.perf_counter()

    def end(self, num_tokens: int, mean_context: float) -> None:
        """Note a step of `num_tokens` tokens, padding included, in rows of `mean_context` tokens."""
        self.step_seconds = time.perf_counter() - self._began
        if self.peak:
            self.step_flops = num_tokens * flops_per_token(self.model, mean_context)
        self.num_steps += 1

    def measures(self, steps_left: int) -> dict[str, float]:
        """seconds_left, memory_bytes and, where the peak is known, mfu: the share of it that the last step used."""
        found = {
            "seconds_left": (time.monotonic() - self.started) / max(1, self.num_steps) * steps_left,
            "memory_bytes": memory_bytes(self.device),
        }
        return found | ({"mfu": self.step_flops / self.step_seconds / self.peak} if self.peak else {})


def flops_per_token(model: nn.Module, context_tokens: float) -> float:
    """Operations of a training step for a token: 6 for every weight that multiplies, and attention.

    12 L H T for attention (Chowdhery et al., arXiv 2204.02311, appendix B), L layers of width H over T tokens; the
    embedding is a look-up and multiplies nothing, unless it is the head as well. What is computed a second time
    (gradient checkpointing) does not count.
    """
    config = model.config.get_text_config()
    embedding = model.get_input_embeddings().weight
    total = sum(parameter.numel() for parameter in model.parameters())
    head = model.get_output_embeddings()
    tied = head is not None and head.weight is embedding
    width = config.num_attention_heads * (
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )
    return 6 * (total - (0 if tied else embedding.numel())) + 12 * config.num_hidden_layers * width * context_tokens


def memory_bytes(device: torch.device) -> int:
    """What the process holds: on a GPU its peak so far, otherwise resident memory now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return psutil.Process().memory_info().rss


@functools.cache
def measured_peak(device: str, dtype: str, seconds: float = 0.5) -> float:
    """Operations a second of the fastest product of two large matrices, on this device with its present threads."""
    side = MATRIX_SIDE.get(device, 1024)
    a = torch.randn(side, side, device=device, dtype=getattr(torch, dtype))
    fastest, end = float("inf"), time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        (a @ a)[0, 0].item()
        fastest = min(fastest, time.perf_counter() - start)
    return 2 * side**3 / fastest
