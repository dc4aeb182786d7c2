"""Log-probabilities of given tokens, with only the logits that are needed, and never more of them than a budget.

Legend: B rows, T tokens, N selected tokens, D width, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import nn

from in2x.model import softmax
from in2x.model.chunks import by_chunks, sum_by_chunks
from in2x.model.prefixes import SharedRow, shared_hidden_states, whole


def hidden_states(model: nn.Module, input_ids_BT, position_ids_BT=None, attention_mask_BT=None):
    """Last hidden states, B x T x width. No cache and no mask: packed documents are told apart by position ids."""
    decoder = model.get_decoder()
    return decoder(
        input_ids=input_ids_BT, position_ids=position_ids_BT, attention_mask=attention_mask_BT, use_cache=False
    ).last_hidden_state


def selected_logits(model: nn.Module, hidden_BTD, loss_mask_BT) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (N x V, float32) that predict the tokens marked in loss_mask, and where they stand (rows, positions)."""
    hidden_ND, where = _before_head(hidden_BTD, loss_mask_BT)
    return _after_head(model.config.get_text_config(), model.get_output_embeddings()(hidden_ND)), where


def token_nats(model: nn.Module, batch: dict, temperature: float = 1.0) -> torch.Tensor:
    """Negative log-likelihood, in nats, of each token marked in batch["loss_mask"], row after row."""

    def nats(logits_NV, targets_N):
        return nn.functional.cross_entropy(logits_NV, targets_N, reduction="none")

    return by_chunks(*_head_and_rows(model, batch), _measure(model, nats, temperature))


def summed_nats(model: nn.Module, batch: dict, temperature: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    """The sum of token_nats, in less time and memory where a gradient is wanted, and the N of it without one."""
    return sum_by_chunks(*_head_and_rows(model, batch), _measure(model, softmax.token_nats, temperature))


def cross_entropy_sum(model: nn.Module, batch: dict, temperature: float = 1.0) -> torch.Tensor:
    """Sum of the negative log-likelihood, in nats, of the tokens marked in batch["loss_mask"].

    The logits are divided by `temperature` (arXiv 2508.14472's training temperature; 1 is plain cross-entropy).
    """
    return summed_nats(model, batch, temperature)[0]


def completion_logprobs(model, input_ids_BT, position_ids_BT, completion_mask_BT, temperature: float = 1.0):
    """Log-probabilities (nats, zero outside the completion) and entropies of the sampling distribution, both B x T.

    Logits are divided by `temperature`, the one that the tokens were sampled at.
    """
    hidden_ND, where = _before_head(hidden_states(model, input_ids_BT, position_ids_BT), completion_mask_BT)
    chosen_N, entropy_N = _logprobs_and_entropies(model, hidden_ND, input_ids_BT[where], temperature)
    zeros = torch.zeros(input_ids_BT.shape, dtype=chosen_N.dtype, device=chosen_N.device)
    return zeros.index_put(where, chosen_N), zeros.index_put(where, entropy_N)


def shared_completion_logprobs(model, shared: SharedRow, temperature: float = 1.0):
    """completion_logprobs where completions share their prompt (in2x.model.prefixes): both M, all their tokens in turn.

    Raises:
        ValueError: the model's attention can't be told which tokens see one another.
    """
    hidden_ND, unseen = shared_hidden_states(model, shared), whole(len(shared.targets))
    sources_N, targets_N = (nn.functional.pad(x, (0, unseen)) for x in (shared.sources, shared.targets))
    values = _logprobs_and_entropies(model, hidden_ND.index_select(0, sources_N), targets_N, temperature)
    return tuple(value_N[: len(shared.targets)] for value_N in values)


def _logprobs_and_entropies(model, hidden_ND, targets_N, temperature: float):
    """Of the tokens that are predicted from hidden_ND: both N."""
    measure = _measure(model, softmax.logprob_and_entropy, temperature)
    return by_chunks(model.get_output_embeddings(), hidden_ND, targets_N, measure)


def _measure(model, of_logits: Callable, temperature: float) -> Callable:
    """of_logits(logits_NV, targets_N), of what the head gives, at a temperature."""
    config = model.config.get_text_config()
    return lambda logits_NV, targets_N: of_logits(_over(_after_head(config, logits_NV), temperature), targets_N)


def _head_and_rows(model, batch: dict) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    """The head, and what it is given for the marked tokens: hidden states (N x D), and the tokens (N)."""
    device = next(model.parameters()).device
    input_ids, position_ids, loss_mask = (batch[name].to(device) for name in ("input_ids", "position_ids", "loss_mask"))
    hidden_ND, where = _before_head(hidden_states(model, input_ids, position_ids), loss_mask)
    return model.get_output_embeddings(), hidden_ND, input_ids[where]


def _before_head(hidden_BTD, loss_mask_BT) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    """The hidden states that predict the marked tokens (N x D), and where these stand (rows, positions)."""
    rows, positions = loss_mask_BT.nonzero(as_tuple=True)
    if (positions == 0).any():
        raise ValueError("loss_mask marks the first token of a row, which nothing predicts")
    return hidden_BTD[rows, positions - 1], (rows, positions)


def _after_head(config, logits_NV: torch.Tensor) -> torch.Tensor:
    """In float32, and what some families do to the logits: Gemma caps them, Cohere and Granite scale them."""
    logits_NV = logits_NV.float()
    cap = getattr(config, "final_logit_softcapping", None)
    if cap is not None:
        logits_NV = cap * torch.tanh(logits_NV / cap)
    logits_NV = _times(logits_NV, getattr(config, "logit_scale", 1.0))
    scaling = getattr(config, "logits_scaling", 1.0)
    return _over(logits_NV, scaling) if config.model_type.startswith("granite") else _times(logits_NV, scaling)


def _times(logits_NV: torch.Tensor, factor: float) -> torch.Tensor:
    """A product with 1 changes no bit, but copies all logits, forward and backward."""
    return logits_NV if factor == 1 else logits_NV * factor


def _over(logits_NV: torch.Tensor, divisor: float) -> torch.Tensor:
    return logits_NV if divisor == 1 else logits_NV / divisor
