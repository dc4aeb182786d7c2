"""The log-probability of a token, and the entropy of its distribution, from logits, in as little memory as they allow.

    log p = z_y - log sum_j exp z_j                 d log p / dz_j = [j = y] - p_j
    H     = -sum_j p_j log p_j                      d H / dz_j     = -p_j (log p_j + H)

Nothing but the logits is kept for the backward pass, which writes their gradient over them; what is made on the way is
made for so few rows at a time that it stays in the processor's cache. Step by step, autograd would keep five arrays of
the logits' size, and make as many.

Legend: N rows, V vocabulary.
"""

from collections.abc import Iterator

import torch
from torch import Tensor

BLOCK = {"cpu": 2**19}  # logits at once: 2 MB
ELSEWHERE = 2**24


def logprob_and_entropy(logits_NV: Tensor, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """log p of each row's target, and the row's entropy, in nats, both N.

    The logits must be of no use to anything else where a gradient is wanted: the backward pass writes over them.
    """
    return _LogprobEntropy.apply(logits_NV, targets_N)


class _LogprobEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits_NV, targets_N):
        logprobs_N, entropies_N, log_sums_N = (logits_NV.new_empty(len(logits_NV)) for _ in range(3))
        for rows in _blocks(logits_NV):
            highest_N1 = logits_NV[rows].amax(-1, keepdim=True)
            below_NV = logits_NV[rows] - highest_N1
            chosen_N = below_NV.gather(1, targets_N[rows, None]).squeeze(1)
            weights_NV = below_NV.exp()
            sums_N = weights_NV.sum(-1)
            logprobs_N[rows] = chosen_N - sums_N.log()
            entropies_N[rows] = sums_N.log() - weights_NV.mul_(below_NV).sum(-1) / sums_N
            log_sums_N[rows] = sums_N.log() + highest_N1.squeeze(1)
        ctx.save_for_backward(logits_NV, targets_N, entropies_N, log_sums_N)
        ctx.set_materialize_grads(False)
        return logprobs_N, entropies_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_logprobs_N, of_entropies_N):
        logits_NV, targets_N, entropies_N, log_sums_N = ctx.saved_tensors
        of_logprobs_N, of_entropies_N = (
            torch.zeros_like(entropies_N) if given is None else given for given in (of_logprobs_N, of_entropies_N)
        )
        for rows in _blocks(logits_NV):
            gradient_NV = logits_NV[rows].sub_(log_sums_N[rows, None])  # log p
            probabilities_NV = gradient_NV.exp()
            gradient_NV.add_(entropies_N[rows, None]).mul_(-of_entropies_N[rows, None])
            gradient_NV.sub_(of_logprobs_N[rows, None]).mul_(probabilities_NV)
            gradient_NV.scatter_add_(1, targets_N[rows, None], of_logprobs_N[rows, None])
        return logits_NV.detach(), None


def token_nats(logits_NV: Tensor, targets_N: Tensor) -> Tensor:
    """-log p of each row's target, in nats, N.

    The logits must be of no use to anything else: the probabilities are written over them at once, and the gradient
    over the probabilities.
    """
    return _Nats.apply(logits_NV, targets_N)


class _Nats(torch.autograd.Function):
    """d -log p / dz_j = p_j - [j = y]. To be used where the backward pass follows at once: no exponential twice."""

    @staticmethod
    def forward(ctx, logits_NV, targets_N):
        nats_N = logits_NV.new_empty(len(logits_NV))
        for rows in _blocks(logits_NV):
            own_NV = logits_NV[rows]
            own_NV.sub_(own_NV.amax(-1, keepdim=True))
            chosen_N = own_NV.gather(1, targets_N[rows, None]).squeeze(1)
            sums_N1 = own_NV.exp_().sum(-1, keepdim=True)
            nats_N[rows] = sums_N1.squeeze(1).log() - chosen_N
            own_NV.div_(sums_N1)
        ctx.save_for_backward(logits_NV, targets_N)
        return nats_N

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, of_nats_N):
        probabilities_NV, targets_N = ctx.saved_tensors
        for rows in _blocks(probabilities_NV):
            probabilities_NV[rows].mul_(of_nats_N[rows, None])
        return probabilities_NV.scatter_add_(1, targets_N[:, None], -of_nats_N[:, None]).detach(), None


def _blocks(logits_NV: Tensor) -> Iterator[slice]:
    size = max(1, BLOCK.get(logits_NV.device.type, ELSEWHERE) // logits_NV.shape[1])
    for start in range(0, len(logits_NV), size):
        yield slice(start, start + size)
