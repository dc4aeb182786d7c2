"""A function of logits, computed for so many rows at a time that the logits stay within a budget.

All ways are exact up to the order of summation:
    - without a gradient: one chunk after the other;
    - a sum: its gradient is computed along with it, chunk by chunk, as in Liger Kernel (Hsu et al., arXiv 2410.10989),
      and only multiplied in the backward pass, so that no logits are kept or computed twice;
    - values by row, whose gradient is not known before the backward pass: above the budget the logits are computed
      again there. Below it none is computed twice: they are made block by block on a CPU, where one large array of
      logits would want a copy of its own in the backward pass, and a hole of its size between what lives longer.
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
SUMMED_ROWS = 256
"""Rows at once of a sum on a CPU: their logits stay in the processor's cache until the gradient is made of them."""
BLOCK = {"cpu": 2**20}
"""Logits of one block, where all of them together are within the budget; on other devices they are one block."""
WHOLE = 64
"""Rows of a block are a multiple, and the last chunk of a sum is filled up to one: products of every new shape cost
time and memory of their own (in2x.model.prefixes)."""


def by_chunks(head: nn.Module, hidden_ND: Tensor, targets_N: Tensor, measure: Callable):
    """`measure(head(hidden_ND), targets_N)`: one or more values by row.

    `measure` must treat every row on its own, and read nothing that has a gradient but the logits.
    """
    rows = max(1, LOGITS_BUDGET // _vocabulary(head))
    if len(hidden_ND) <= rows:
        return _one_by_one(head, hidden_ND, targets_N, measure, _block_rows(head, hidden_ND), again=False)
    if not (torch.is_grad_enabled() and _is_linear(head)):
        return _one_by_one(head, hidden_ND, targets_N, measure, rows, again=torch.is_grad_enabled())
    return _ByRow.apply(hidden_ND, head.weight, head.bias, targets_N, measure, rows)


def sum_by_chunks(head: nn.Module, hidden_ND: Tensor, targets_N: Tensor, measure: Callable) -> tuple[Tensor, Tensor]:
    """The sum of the values by row that `measure` gives (one each), and these values without a gradient.

    `measure` may write over its logits, and is bound by what `by_chunks` says.
    """
    rows = max(1, LOGITS_BUDGET // _vocabulary(head))
    if torch.is_grad_enabled() and _is_linear(head) and len(hidden_ND):
        if hidden_ND.device.type == "cpu":
            rows = min(rows, SUMMED_ROWS)
        return _Summed.apply(hidden_ND, head.weight, head.bias, targets_N, measure, rows)
    again = torch.is_grad_enabled() and len(hidden_ND) > rows
    values_N = _one_by_one(head, hidden_ND, targets_N, measure, rows, again)
    return values_N.sum(), values_N.detach()


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


def _one_by_one(head, hidden_ND, targets_N, measure, rows: int, again: bool):
    """Through the head itself, so many rows at a time; `again`: each chunk is checkpointed."""

    def whole(hidden, targets):
        return measure(head(hidden), targets)

    if len(hidden_ND) <= rows and not again:
        return whole(hidden_ND, targets_N)
    parts = [
        checkpoint(whole, hidden, targets, use_reentrant=False) if again else whole(hidden, targets)
        for hidden, targets in zip(hidden_ND.split(rows), targets_N.split(rows), strict=True)
    ]
    return _joined(parts)


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
        total, parts = 0.0, []
        for part, hidden, weight, bias in _chunks(hidden_ND, weight_VD, bias_V, rows):
            number = len(hidden)
            hidden, targets_R = _filled(hidden), nn.functional.pad(targets_N[part], (0, _unfilled(hidden)))
            logits = linear(hidden, weight, bias).requires_grad_(gradients.any)
            with torch.set_grad_enabled(gradients.any):
                values = measure(logits, targets_R)[:number]
                value = values.sum()
            if gradients.any:
                gradients.add(part, hidden, weight, torch.autograd.grad(value, logits)[0])
            total = total + value.detach()
            parts.append(values.detach())
        ctx.gradients = gradients
        values_N = torch.cat(parts)
        ctx.mark_non_differentiable(values_N)
        return total, values_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient, _):
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


def _unfilled(hidden: Tensor) -> int:
    """Rows that a chunk on a CPU lacks to a whole shape."""
    return -len(hidden) % WHOLE if hidden.device.type == "cpu" else 0


def _filled(hidden: Tensor) -> Tensor:
    lacking = _unfilled(hidden)
    return nn.functional.pad(hidden, (0, 0, 0, lacking)) if lacking else hidden


class _Gradients:
    """Gradients of hidden states, weight and bias, those that are needed, in the making.

    The weight's is made with its sides exchanged: that product is the faster one.
    """

    def __init__(self, needed: tuple[bool, ...], hidden_ND, weight_VD, bias_V):
        self.hidden, self.weight_DV, self.bias = (
            torch.zeros_like(x, memory_format=torch.contiguous_format) if wanted and x is not None else None
            for wanted, x in zip(needed[:3], (hidden_ND, weight_VD.T, bias_V), strict=True)
        )
        self.any = any(x is not None for x in self.tensors())

    def add(self, part: slice, hidden, weight, of_logits) -> None:
        if self.hidden is not None:
            own = self.hidden[part]
            own[:] = linear(of_logits, weight.T)[: len(own)]
        if self.weight_DV is not None:
            self.weight_DV += linear(hidden.T, of_logits.T)
        if self.bias is not None:
            self.bias += of_logits.sum(0)

    def tensors(self) -> tuple[Tensor | None, ...]:
        return self.hidden, None if self.weight_DV is None else self.weight_DV.T, self.bias
