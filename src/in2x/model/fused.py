"""Norms and gated layers of Qwen, Llama and Mistral: less is kept for the backward pass, which takes fewer steps.

Autograd keeps the normed states beside the states themselves, and four arrays of a gated layer's width; here it is the
states, and two (three where the layer's last product is more than a matrix). What is left out is computed again,
element by element. Values are the same to the bit in float32; gradients to rounding. In other types, norms are
transformers' own.

Legend: x the states, ... x D; r the reciprocal root of their mean square; w the norm's weight.
"""

import functools

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from in2x.model.onednn import OneDnnLinear, applies, gradients, is_hooked, linear

FAMILIES = ("Qwen3", "Qwen2", "Llama", "Mistral")
NORMS = tuple(f"{family}RMSNorm" for family in FAMILIES)
GATED = tuple(f"{family}MLP" for family in FAMILIES)


def use_fused(model: nn.Module) -> nn.Module:
    """Make the norms and gated layers of a model these, in place; weights and their names are the same."""
    for module in model.modules():
        name = type(module).__name__
        if name in NORMS:
            module.__class__ = _fused(type(module), _norm)
        elif name in GATED and type(module.act_fn) in (nn.SiLU, _silu()):
            module.__class__ = _fused(type(module), _gated)
    return model


@functools.cache
def _fused(kind: type, forward) -> type:
    return type(f"Fused{kind.__name__}", (kind,), {"forward": forward, "plain": kind.forward})


@functools.cache
def _silu() -> type:
    from transformers.activations import ACT2FN

    return type(ACT2FN["silu"])


def _norm(self, hidden_states: Tensor) -> Tensor:
    weight = self.weight
    if not (torch.is_grad_enabled() and hidden_states.dtype == weight.dtype == torch.float32):
        return self.plain(hidden_states)
    return _RmsNorm.apply(hidden_states, weight, self.variance_epsilon)


def _gated(self, x: Tensor) -> Tensor:
    gate, up, down = self.gate_proj(x), self.up_proj(x), self.down_proj
    plain = type(down) is OneDnnLinear and down.bias is None and not is_hooked(down)
    if plain and torch.is_grad_enabled() and applies(gate, down.weight):
        return _SiluTimesThrough.apply(gate, up, down.weight)
    return down(_SiluTimes.apply(gate, up))


class _RmsNorm(torch.autograd.Function):
    """y = w n, n = r x. With h = w dy: dx = r (h - n mean(h n)), dw = the sum of dy n."""

    @staticmethod
    def forward(ctx, x, weight_D, epsilon):
        root = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, weight_D, root)
        return (x * root).mul_(weight_D)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_y):
        x, weight_D, root = ctx.saved_tensors
        normed = x * root
        weighted = of_y * normed
        of_weight_D = weighted.flatten(0, -2).sum(0) if ctx.needs_input_grad[1] else None
        share = weighted.mul_(weight_D).mean(-1, keepdim=True)
        of_x = (of_y * weight_D).sub_(normed.mul_(share)).mul_(root) if ctx.needs_input_grad[0] else None
        return of_x, of_weight_D, None


class _SiluTimes(torch.autograd.Function):
    """y = silu(gate) up."""

    @staticmethod
    def forward(ctx, gate, up):
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_y):
        gate, up = ctx.saved_tensors
        of_gate = torch.ops.aten.silu_backward(of_y * up, gate)
        return of_gate, F.silu(gate).mul_(of_y)


class _SiluTimesThrough(torch.autograd.Function):
    """y = (silu(gate) up) W^T; the product before W is computed again in place of being kept."""

    @staticmethod
    def forward(ctx, gate, up, weight_OI):
        ctx.save_for_backward(gate, up, weight_OI)
        return linear(F.silu(gate).mul_(up), weight_OI, None)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_y):
        gate, up, weight_OI = ctx.saved_tensors
        opened = F.silu(gate)
        of_product, of_weight_OI = gradients(of_y, opened * up, weight_OI, (True, ctx.needs_input_grad[2]))
        of_up = opened.mul_(of_product)
        return torch.ops.aten.silu_backward(of_product.mul_(up), gate), of_up, of_weight_OI
