"""Whether packed documents are really apart: tried on the model itself, before it is trained on packed rows.

Most models of transformers read the borders of packed documents from position ids that start again at 0. Some don't:
state-space and recurrent layers carry their state across, models with custom code build a causal mask of their own,
and some attention kernels see the borders only in batches of one row. Training would go on and learn from
neighbours that have nothing to do with the text, and nothing would tell.
"""

import torch

from in2x.artifacts import In2xError
from in2x.model.logprobs import hidden_states

FIRST_TOKENS, SECOND_TOKENS = 9, 7
MAX_LEAK = 1e-3
"""Largest change of a hidden state, relative to its size; rounding in float32 stays below 1e-5."""


@torch.inference_mode()
def leak(model) -> float:
    """How much the hidden states of a document change with what is packed before it, and with being packed at all.

    Two rows of two documents each, which differ in the first document alone, and the second document by itself: the
    largest difference between the three, relative to the largest hidden state. 0 is none.
    """
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    vocab_size = model.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(0)
    tokens_3T = torch.randint(vocab_size, (3, FIRST_TOKENS), generator=generator)
    second_T = tokens_3T[2, :SECOND_TOKENS]
    packed_2T = torch.stack([torch.cat([first, second_T]) for first in tokens_3T[:2]]).to(device)
    positions_T = torch.cat([torch.arange(FIRST_TOKENS), torch.arange(SECOND_TOKENS)]).to(device)
    packed = hidden_states(model, packed_2T, positions_T.expand(2, -1).contiguous())[:, FIRST_TOKENS:].float()
    alone = hidden_states(model, packed_2T[:1, FIRST_TOKENS:], positions_T[None, FIRST_TOKENS:])[0].float()
    model.train(was_training)
    return float((packed - alone).abs().max() / alone.abs().max().clamp(min=1e-12))


def refuse_leaks(model) -> None:
    """Refuse a model whose packed documents see one another.

    Raises:
        In2xError: with how much they do, and what to change.
    """
    found = leak(model)
    if not found <= MAX_LEAK:  # so that NaN is refused too
        config = model.config
        attention = getattr(config, "_attn_implementation", "unknown")
        raise In2xError(
            f"{config.model_type}: packed documents see one another: the hidden states of a document change by "
            f"{found:.1%} with what stands before it in its row (attention: {attention}). This architecture does not "
            "read the borders of documents from position ids; take another one, or another attention implementation "
            "(sdpa or eager)"
        )
