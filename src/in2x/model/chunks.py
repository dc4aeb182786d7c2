"""A function of logits, computed for so many rows at a time that the logits stay within a budget.

Below the budget no logits are computed twice: values by row are made block by block on a CPU, where one large array of
logits would want a copy of its own in the backward pass, and a hole of its size between what lives longer. Above the
budget there are three ways, all exact up to the order of summation:
    - without a gradient: one chunk after the other;
    - a sum: its gradient is computed along with it, chunk by chunk, as in Liger Kernel (Hsu et al., arXiv 2410.10989),
      and only multiplied in the backward pass, so that no logits are computed twice;
    - values by row, whose gradient is not known before the backward pass: the logits are computed again there.
A head that is more than a linear layer (LoRA, quantised, with hooks) is checkpointed chunk by chunk instead.

Legend: N rows, D width, V vocabulary.
"""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from in2x.model.onednn import OneDnnLinear, is_hooked, linear

LOGITS_BUDGET = 8_000_000
"""Logits (rows x vocabulary) computed at once: 32 MB in float32, and a few times that for what is made of them.

Just below the 32 MiB from which glibc maps every allocation anew: page faults then take as long as the arithmetic.
"""

BLOCK = {"cpu": 2**20}
"""Logits of one block, where all of them together are within the budget; on other devices they are one block."""
WHOLE = 64
"""Rows of a block are a multiple, where that is possible: every shape costs code of its own (in2x.model.prefixes)."""


def by_chunks(head: nn.Module, hidden_ND: Tensor, targets_N: Tensor, measure: Callable, summed: bool = False):
    """`measure(head(hidden_ND), targets_N)`: a sum over the rows where `summed`, else one or more values by row.

    `measure` must treat every row on its own, and read nothing that has a gradient but the logits.
    """
    rows = max(1, LOGITS_BUDGET // _vocabulary(head))
    if len(hidden_ND) <= rows:
        size = len(hidden_ND) if summed else _block_rows(head, hidden_ND)
        return _one_by_one(head, hidden_ND, targets_N, measure, size, summed, again=False)
    if not (torch.is_grad_enabled() and _is_linear(head)):
        return _one_by_one(head, hidden_ND, targets_N, measure, rows, summed, again=torch.is_grad_enabled())
    function = _Summed if summed else _ByRow
    return function.apply(hidden_ND, head.weight, head.bias, targets_N, measure, rows)


def _vocabulary(head: nn.Module) -> int:
    size = getattr(head, "out_features", None)
    return size if size is not None else head.weight.shape[0]


def _is_linear(head: nn.Module) -> bool:
    """Whether head(x) is weight x + bias, and nothing else happens."""
    return type(head) in (nn.Linear, OneDnnLinear) and not is_hooked(head)


def _block_rows(head: nn.Module, hidden_ND: Tensor) -> int:
    if hidden_ND.device.type not in BLOCK:
        return len(hidden_ND)
    rows = max(1, BLOCK[hidden_ND.device.type] // _vocabulary(head))
    return rows // WHOLE * WHOLE or rows


def _one_by_one(head, hidden_ND, targets_N, measure, rows: int, summed: bool, again: bool):
    """Through the head itself, so many rows at a time; `again`: each chunk is checkpointed."""

    def whole(hidden, targets):
        return measure(head(hidden), targets)

    if len(hidden_ND) <= rows and not again:
        return whole(hidden_ND, targets_N)
    parts = [
        checkpoint(whole, hidden, targets, use_reentrant=False) if again else whole(hidden, targets)
        for hidden, targets in zip(hidden_ND.split(rows), targets_N.split(rows), strict=True)
    ]
    return sum(parts) if summed else _joined(parts)


def _joined(parts: list):
    """The chunks' values by row, one after the other; a tuple where the measure gives several."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts)
    return tuple(torch.cat(column) for column in zip(*parts, strict=True))


class _Summed(torch.autograd.Function):
    """A sum over rows, whose gradient is computed with it."""

    @staticmethod
    def forward(ctx, hidden_ND, weight_VD, bias_V, targets_N, measure, rows):
        gradients = _Gradients(ctx.needs_input_grad, hidden_ND, weight_VD, bias_V)
        total = 0.0
        for part, hidden, weight, bias in _chunks(hidden_ND, weight_VD, bias_V, rows):
            logits = linear(hidden, weight, bias).requires_grad_(gradients.any)
            with torch.set_grad_enabled(gradients.any):
                value = measure(logits, targets_N[part])
            if gradients.any:
                gradients.add(part, hidden, weight, torch.autograd.grad(value, logits)[0])
            total = total + value.detach()
        ctx.gradients = gradients
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return *(None if x is None else x * gradient.to(x.dtype) for x in ctx.gradients.tensors()), None, None, None


class _ByRow(torch.autograd.Function):
    """Values by row: the backward pass computes each chunk again."""

    @staticmethod
    def forward(ctx, hidden_ND, weight_VD, bias_V, targets_N, measure, rows):
        ctx.save_for_backward(hidden_ND, weight_VD, bias_V, targets_N)
        ctx.measure, ctx.rows = measure, rows
        ctx.dtype = _compute_dtype(weight_VD)
        return _joined(
            [
                measure(linear(hidden, weight, bias), targets_N[part])
                for part, hidden, weight, bias in _chunks(hidden_ND, weight_VD, bias_V, rows)
            ]
        )

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *gradients_N):
        hidden_ND, weight_VD, bias_V, targets_N = ctx.saved_tensors
        gradients = _Gradients(ctx.needs_input_grad, hidden_ND, weight_VD, bias_V)
        for part, hidden, weight, bias in _chunks(hidden_ND, weight_VD, bias_V, ctx.rows, ctx.dtype):
            logits = linear(hidden, weight, bias).requires_grad_()
            with torch.enable_grad():
                values = ctx.measure(logits, targets_N[part])
            values = (values,) if isinstance(values, Tensor) else values
            given = [gradient[part] for gradient in gradients_N]
            gradients.add(part, hidden, weight, torch.autograd.grad(values, logits, given)[0])
        return *gradients.tensors(), None, None, None


def _compute_dtype(weight_VD: Tensor) -> torch.dtype:
    """What a linear layer computes in here: autocast's precision, or its own."""
    device = weight_VD.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else weight_VD.dtype


def _chunks(hidden_ND, weight_VD, bias_V, rows: int, dtype: torch.dtype | None = None) -> Iterator[tuple]:
    """Places of each chunk, its hidden states, and the head, in the precision of the matrix products."""
    dtype = dtype or _compute_dtype(weight_VD)
    weight, bias = weight_VD.detach().to(dtype), None if bias_V is None else bias_V.detach().to(dtype)
    for start in range(0, len(hidden_ND), rows):
        part = slice(start, start + rows)
        yield part, hidden_ND[part].detach().to(dtype), weight, bias


class _Gradients:
    """Gradients of hidden states, weight and bias, those that are needed, in the making."""

    def __init__(self, needed: tuple[bool, ...], hidden_ND, weight_VD, bias_V):
        self.hidden, self.weight, self.bias = (
            torch.zeros_like(x) if wanted and x is not None else None
            for wanted, x in zip(needed[:3], (hidden_ND, weight_VD, bias_V), strict=True)
        )
        self.any = any(x is not None for x in self.tensors())

    def add(self, part: slice, hidden, weight, of_logits) -> None:
        if self.hidden is not None:
            self.hidden[part] = linear(of_logits, weight.T)
        if self.weight is not None:
            self.weight += linear(hidden.T, of_logits.T).T  # in this order the product is the faster one
        if self.bias is not None:
            self.bias += of_logits.sum(0)

    def tensors(self) -> tuple[Tensor | None, ...]:
        return self.hidden, self.weight, self.bias
