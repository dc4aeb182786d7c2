"""Linear layers whose float32 products on a CPU are oneDNN's.

torch hands such products to MKL, which leaves the widest instructions of some makes of processor unused; oneDNN uses
them on all. Forward and both products of backward: on a processor with AVX-512 that is not Intel's, a training step
takes two thirds of the time (benchmarks/linear.py). All else, other types, devices, and autocast, is torch's own.

Legend: N rows, I input features, O output features.
"""

import torch
from torch import nn
from torch.nn import functional as F

AVAILABLE = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")


class OneDnnLinear(nn.Linear):
    """nn.Linear with the products of this module; weights and their names are the same."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return linear(x, self.weight, self.bias)


def linear(x: torch.Tensor, weight_OI: torch.Tensor, bias_O: torch.Tensor | None = None) -> torch.Tensor:
    """torch.nn.functional.linear, by oneDNN where that applies."""
    if not applies(x, weight_OI):
        return F.linear(x, weight_OI, bias_O)
    return (_Linear.apply if torch.is_grad_enabled() else _product)(x, weight_OI, bias_O)


def batched_product(a_BNI: torch.Tensor, b_BOI: torch.Tensor) -> torch.Tensor:
    """a b^T for every pair of a batch, B x N x O."""
    if not applies(a_BNI, b_BOI):
        return a_BNI @ b_BOI.mT
    return torch.stack([_product(a_NI, b_OI, None) for a_NI, b_OI in zip(a_BNI, b_BOI, strict=True)])


def use_onednn(model: nn.Module) -> nn.Module:
    """Make every plain nn.Linear of the model one of these, in place."""
    if AVAILABLE:
        for module in model.modules():
            if type(module) is nn.Linear:
                module.__class__ = OneDnnLinear
    return model


class _Linear(torch.autograd.Function):
    """y = x W^T + b; dx = dy W, dW = dy^T x, db = the sum of dy's rows. Its gradients have no gradients."""

    @staticmethod
    def forward(ctx, x, weight_OI, bias_O):
        ctx.save_for_backward(x, weight_OI)
        return _product(x, weight_OI, bias_O)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, grad):
        x, weight_OI = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        grad_bias_O = grad.flatten(0, -2).sum(0) if needs_bias else None
        return *gradients(grad, x, weight_OI, (needs_x, needs_weight)), grad_bias_O


def gradients(grad, x, weight_OI, needed: tuple[bool, bool]) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    """Of x and of the weight, in y = x W^T, given that of y; for what `applies` to."""
    grad_NO, x_NI = grad.reshape(-1, grad.shape[-1]), x.reshape(-1, x.shape[-1])
    return (
        _product(grad, weight_OI.t(), None) if needed[0] else None,
        _of_weight(grad_NO, x_NI) if needed[1] else None,
    )


def _of_weight(grad_NO: torch.Tensor, x_NI: torch.Tensor) -> torch.Tensor:
    """dy^T x. What lies transposed on the left is copied, on the right not: x is there, and the result is copied
    instead, where that is less than to copy dy. Few rows of a wide layer, as a block of logits, are not worth it."""
    (rows, outputs), inputs = grad_NO.shape, x_NI.shape[1]
    if rows * (outputs - inputs) > outputs * inputs:
        return _product(x_NI.t(), grad_NO.t(), None).t().contiguous()
    return _product(grad_NO.t(), x_NI.t(), None)


def is_hooked(module: nn.Module) -> bool:
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def applies(x: torch.Tensor, weight: torch.Tensor) -> bool:
    """Whether oneDNN makes their product here."""
    plain = x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32 and x.numel() > 0
    return AVAILABLE and plain and not torch.is_autocast_enabled("cpu") and not torch.compiler.is_compiling()


def _product(x: torch.Tensor, weight_OI: torch.Tensor, bias_O: torch.Tensor | None) -> torch.Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, weight_OI, bias_O, "none", [], "")
