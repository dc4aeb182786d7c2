"""Optimizers: AdamW (fused), and Muon for the matrices with AdamW for everything else.

Muon (Jordan et al. 2024) orthogonalises the momentum of each matrix by a Newton-Schulz iteration. Here it iterates for
all matrices of one shape at once, and in bfloat16 only where the model is trained in it: most CPUs emulate bfloat16,
and torch.optim.Muon, which always uses it, takes four times as long there. Its updates are scaled to the root mean
square of AdamW's (Liu et al., arXiv 2502.16982), so that one learning rate serves both. A matrix that is parted among
processes (FSDP) is gathered for the iteration, which each of them then makes: it costs time, and memory for the
matrices of one shape.
"""

import torch
from torch import nn

from in2x.artifacts import In2xError
from in2x.model.onednn import batched_product
from in2x.training.sharding import like, whole

ADAM_RMS = 0.2  # root mean square of AdamW's updates, as Liu et al. measured it
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """Muon for groups with use_muon=True, iterating in `dtype`; AdamW for the others."""

    def __init__(self, groups: list[dict], lr: float, betas: tuple[float, float], momentum: float, dtype=torch.float32):
        self.dtype = dtype
        super().__init__(groups, {"lr": lr, "betas": betas, "momentum": momentum, "eps": 1e-10, "use_muon": False})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            (self._step_muon if group["use_muon"] else self._step_adamw)(group, parameters)

    def _step_muon(self, group: dict, parameters: list[nn.Parameter]) -> None:
        by_shape: dict[torch.Size, list[nn.Parameter]] = {}
        for parameter in parameters:
            by_shape.setdefault(parameter.shape, []).append(parameter)
        for shape, same in by_shape.items():
            momenta = torch.stack([whole(self._nesterov(group, parameter)) for parameter in same])
            directions = orthogonalized(momenta, self.dtype)
            scale = ADAM_RMS * max(shape) ** 0.5
            for parameter, direction in zip(same, directions, strict=True):
                parameter.mul_(1 - group["lr"] * group["weight_decay"]).add_(
                    like(direction, parameter), alpha=-group["lr"] * scale
                )

    def _nesterov(self, group: dict, parameter: nn.Parameter) -> torch.Tensor:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
        return parameter.grad.lerp(state["momentum"], group["momentum"])

    def _step_adamw(self, group: dict, parameters: list[nn.Parameter]) -> None:
        beta1, beta2 = group["betas"]
        for parameter in parameters:
            state = self.state[parameter]
            if not state:
                state |= {
                    "step": torch.zeros(()),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
            state["step"] += 1
            step = state["step"].item()
            state["exp_avg"].lerp_(parameter.grad, 1 - beta1)
            state["exp_avg_sq"].mul_(beta2).addcmul_(parameter.grad, parameter.grad, value=1 - beta2)
            deviation = (state["exp_avg_sq"] / (1 - beta2**step)).sqrt_().add_(group["eps"])
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.addcdiv_(state["exp_avg"], deviation, value=-group["lr"] / (1 - beta1**step))


def orthogonalized(matrices: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Nearest semi-orthogonal matrices, roughly: singular values come out between 0.7 and 1.2.

    `matrices` has shape (batch, rows, columns); the quintic Newton-Schulz iteration runs in `dtype`. In bfloat16 the
    result differs by 2 to 3 % for random matrices, and by up to 18 % (a cosine of 0.98) for those that are nearly of
    low rank, whose weak directions are lost in the rounding.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.size(-2) > matrices.size(-1)
    x = (matrices.mT if tall else matrices).float()
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).to(dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = batched_product(x, x)
        x = a * x + batched_product(b * gram + c * batched_product(gram, gram), x.mT)
    return (x.mT if tall else x).to(matrices.dtype)


def make_optimizer(model: nn.Module, settings, lr: float, dtype=torch.float32) -> torch.optim.Optimizer:
    """Build the optimizer of a recipe's `optimizer` table, for a model that is trained in `dtype`.

    Norms and biases get no weight decay; Muon takes the matrices of the layers, never the embedding or the head.
    """
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    matrices = [parameter for name, parameter in named if parameter.ndim == 2 and not _is_vocabulary(name)]
    tables = [
        parameter for name, parameter in named if parameter.ndim > 2 or (parameter.ndim == 2 and _is_vocabulary(name))
    ]
    vectors = [parameter for _, parameter in named if parameter.ndim < 2]
    decay = settings.weight_decay
    groups = [
        {"params": matrices, "weight_decay": decay, "use_muon": True},
        {"params": tables, "weight_decay": decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if settings.name == "muon":
        return Muon(groups, lr, settings.betas, settings.momentum, dtype)
    for group in groups:
        group.pop("use_muon", None)
    if settings.name == "adamw-8bit":
        return _adamw_8bit(groups, lr, settings.betas)
    return torch.optim.AdamW(groups, lr=lr, betas=settings.betas, fused=True)


def _adamw_8bit(groups: list[dict], lr: float, betas: tuple[float, float]) -> torch.optim.Optimizer:
    """AdamW with moments of 8 bits (Dettmers et al., arXiv 2110.02861), by bitsandbytes."""
    if not torch.cuda.is_available():
        raise In2xError('optimizer.name: "adamw-8bit" needs a GPU, and torch sees none; take "adamw"')
    try:
        from bitsandbytes.optim import AdamW8bit
    except ImportError as error:
        raise In2xError(
            f"optimizer.name: \"adamw-8bit\" needs the package bitsandbytes ({error}): pip install 'in2x[bitsandbytes]'"
        ) from None
    return AdamW8bit(groups, lr=lr, betas=betas)


def _is_vocabulary(name: str) -> bool:
    return "embed" in name or "lm_head" in name or name.startswith("score")
