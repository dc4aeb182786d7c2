"""Batched generation with a key-value cache: greedy, or samples with their log-probabilities.

Prompts are sorted by length and read once, however many samples are drawn of each. Rows that have finished leave the
batch. Qwen3 and Llama are computed by in2x.decoding.decoder, which shares a prompt's keys and values among its
samples; other families, and these with hooks or weights that are parted among processes, by transformers
(in2x.decoding.generic).

Sampling is the inverse of the distribution function at one uniform number for each token, drawn from the seed, the
prompt's key and the sample's number: the batch, its order and the number of processes change nothing but rounding.
Started by torchrun, each process completes its share of the prompts, and all get everything.

Legend: N rows in the batch, R rows at its beginning, T tokens.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import torch

from in2x import distributed
from in2x.decoding.decoder import GroupDecoder, unsupported
from in2x.decoding.generic import GenericDecoder
from in2x.decoding.sampling import choose_tokens
from in2x.records import Completion

LEAVE_FRACTION = 0.25  # finished rows leave once they are so much of the batch


@torch.inference_mode()
def generate(
    model,
    tokenizer,
    prompt_ids: list[list[int]],
    *,
    stop_ids: set[int],
    max_completion_tokens: int,
    num_samples: int = 1,
    temperature: float = 0.0,
    batch_size: int = 512,
    seed: int = 0,
    keys: Sequence[int] | None = None,
    advance=lambda num_prompts: None,
) -> list[list[Completion]]:
    """Complete each prompt `num_samples` times; temperature 0 is greedy, otherwise plain sampling (top-p 1).

    Returns, in the order of the prompts, the completions of each. `sampling_logprobs` are those of the distribution
    that was sampled from, in nats. `batch_size` counts completions; `advance` is called with each batch's prompts.
    `keys` tell the prompts' random numbers apart; left out, they are the prompts' positions in the list.
    """
    model.eval()
    decoder_class = GenericDecoder if unsupported(model) else GroupDecoder
    keys = range(len(prompt_ids)) if keys is None else keys
    by_length = sorted(range(len(prompt_ids)), key=lambda index: len(prompt_ids[index]))
    order = [by_length[place] for place in distributed.share(len(by_length))]
    per_batch = max(1, batch_size // num_samples)
    completions: dict[int, list[Completion]] = {}
    for start in range(0, len(order), per_batch):
        indices = order[start : start + per_batch]
        decoder = decoder_class(model, [prompt_ids[index] for index in indices], num_samples, max_completion_tokens)
        uniforms_RT = _uniforms(seed, [keys[index] for index in indices], num_samples, max_completion_tokens)
        rows = _complete(decoder, num_samples, stop_ids, temperature, uniforms_RT.to(model.device))
        made = [_completion(tokenizer, *row, stop_ids) for row in rows]
        for place, index in enumerate(indices):
            completions[index] = made[place * num_samples : (place + 1) * num_samples]
        advance(len(indices) * distributed.world_size())
    whole = {index: group for part in distributed.gather(completions) for index, group in part.items()}
    return [whole[index] for index in range(len(prompt_ids))]


def _complete(
    decoder, num_samples: int, stop_ids: set[int], temperature: float, uniforms_RT: torch.Tensor
) -> Iterable[tuple[list[int], list[float]]]:
    """Token ids and log-probabilities of each row, the stop token included where it was reached."""
    device = uniforms_RT.device
    stops = torch.tensor(sorted(stop_ids), device=device, dtype=torch.long)
    tokens_RT = torch.zeros(uniforms_RT.shape, dtype=torch.long, device=device)
    logprobs_RT = torch.zeros(uniforms_RT.shape, device=device)
    lengths_R = torch.full((len(tokens_RT),), uniforms_RT.shape[1], device=device)
    rows_N, alive_N = torch.arange(len(tokens_RT), device=device), torch.ones_like(lengths_R, dtype=torch.bool)
    states, repeats = decoder.start(), num_samples
    for step in range(uniforms_RT.shape[1]):
        chosen_N, chosen_logprobs_N = choose_tokens(
            decoder.head, states, repeats, temperature, uniforms_RT[rows_N, step]
        )
        tokens_RT[rows_N, step], logprobs_RT[rows_N, step] = chosen_N, chosen_logprobs_N
        stopped_N = torch.isin(chosen_N, stops) & alive_N
        lengths_R[rows_N[stopped_N]] = step + 1
        alive_N = alive_N & ~stopped_N
        num_alive = int(alive_N.sum())
        if num_alive == 0 or step + 1 == uniforms_RT.shape[1]:
            break
        if num_alive <= (1 - LEAVE_FRACTION) * len(alive_N):
            kept = alive_N.nonzero().squeeze(1)
            decoder.keep(kept)
            rows_N, chosen_N, alive_N = rows_N[kept], chosen_N[kept], alive_N[kept]
        states, repeats = decoder.step(chosen_N), 1
    for tokens, logprobs, length in zip(tokens_RT.tolist(), logprobs_RT.tolist(), lengths_R.tolist(), strict=True):
        yield tokens[:length], logprobs[:length]


def _uniforms(seed: int, keys: Sequence[int], num_samples: int, max_tokens: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), one for each token of each row, rows as in the batch: R x T."""
    drawn = [np.random.default_rng([seed, key]).random((num_samples, max_tokens), dtype=np.float32) for key in keys]
    return torch.from_numpy(np.concatenate(drawn))


def _completion(tokenizer, token_ids: list[int], logprobs: list[float], stop_ids: set[int]) -> Completion:
    finished = token_ids[-1] in stop_ids
    text = tokenizer.decode(token_ids[:-1] if finished else token_ids, skip_special_tokens=False).strip()
    return Completion(token_ids, logprobs, text, finished)
