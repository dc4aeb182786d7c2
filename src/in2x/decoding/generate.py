"""Batched generation with transformers' key-value cache: greedy, or samples with their log-probabilities.

Prompts are sorted by length, padded on the left, and read once, however many samples are drawn of each. Finished rows
leave the batch as soon as half of it has finished.

Sampling is the inverse of the distribution function at one uniform number for each token, drawn from the seed, the
prompt's key and the sample's number: the batch, its order and the number of processes change nothing. Started by
torchrun, each process completes its share of the prompts, and all get everything.

Legend: B rows in the batch, T tokens so far, V vocabulary.
"""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import DynamicCache

from in2x import distributed
from in2x.records import Completion

ROW_TOKENS = 1  # logits are asked for the last position only


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
    batch_size: int = 256,
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
    keys = range(len(prompt_ids)) if keys is None else keys
    by_length = sorted(range(len(prompt_ids)), key=lambda index: len(prompt_ids[index]))
    order = [by_length[place] for place in distributed.share(len(by_length))]
    per_batch = max(1, batch_size // num_samples)
    completions: dict[int, list[Completion]] = {}
    for start in range(0, len(order), per_batch):
        indices = order[start : start + per_batch]
        batch = _Batch(model, [prompt_ids[index] for index in indices], num_samples, tokenizer.pad_token_id)
        uniforms_BT = _uniforms(seed, [keys[index] for index in indices], num_samples, max_completion_tokens)
        tokens, logprobs = batch.run(stop_ids, temperature, uniforms_BT.to(model.device))
        for place, index in enumerate(indices):
            rows = range(place * num_samples, (place + 1) * num_samples)
            completions[index] = [_completion(tokenizer, tokens[row], logprobs[row], stop_ids) for row in rows]
        advance(len(indices) * distributed.world_size())
    whole = {index: group for part in distributed.gather(completions) for index, group in part.items()}
    return [whole[index] for index in range(len(prompt_ids))]


class _Batch:
    """One batch of completions in the making: the cache and the rows that are still alive."""

    def __init__(self, model, prompts: list[list[int]], num_samples: int, pad_token_id: int):
        self.model = model
        longest = max(len(prompt) for prompt in prompts)
        padded = [[pad_token_id] * (longest - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        input_ids_BT = torch.tensor(padded, device=model.device)
        mask_BT = torch.tensor(mask, device=model.device)
        self.cache = DynamicCache(config=model.config)
        logits_BV = self._forward(input_ids_BT, mask_BT, (mask_BT.cumsum(1) - 1).clamp(min=0))
        if num_samples > 1:
            self.cache.batch_repeat_interleave(num_samples)
        self.logits_BV = logits_BV.repeat_interleave(num_samples, 0)
        self.mask_BT = mask_BT.repeat_interleave(num_samples, 0)
        self.alive = list(range(len(prompts) * num_samples))

    def run(self, stop_ids: set[int], temperature: float, uniforms_BT: torch.Tensor):
        """Token ids and log-probabilities of each row, the stop token included where it was reached."""
        max_tokens = uniforms_BT.shape[1]
        tokens: list[list[int]] = [[] for _ in self.alive]
        logprobs: list[list[float]] = [[] for _ in self.alive]
        finished: set[int] = set()
        for step in range(max_tokens):
            chosen_B, chosen_logprobs_B = _choose(self.logits_BV, temperature, uniforms_BT[self.alive, step])
            for row, token, logprob in zip(self.alive, chosen_B.tolist(), chosen_logprobs_B.tolist(), strict=True):
                if row not in finished:
                    tokens[row].append(token)
                    logprobs[row].append(logprob)
                    if token in stop_ids:
                        finished.add(row)
            if len(finished) == len(tokens) or step == max_tokens - 1:
                break
            chosen_B = self._leave(finished, chosen_B)
            self.mask_BT = torch.cat([self.mask_BT, self.mask_BT.new_ones(len(self.alive), 1)], dim=1)
            positions_B1 = self.mask_BT.sum(1, keepdim=True) - 1
            self.logits_BV = self._forward(chosen_B.unsqueeze(1), self.mask_BT, positions_B1)
        return tokens, logprobs

    def _leave(self, finished: set[int], chosen_B: torch.Tensor) -> torch.Tensor:
        """Take the finished rows out of the batch once they are half of it."""
        keep = [place for place, row in enumerate(self.alive) if row not in finished]
        if 2 * len(keep) > len(self.alive):
            return chosen_B
        keep_B = torch.tensor(keep, device=chosen_B.device)
        self.cache.batch_select_indices(keep_B)
        self.mask_BT = self.mask_BT[keep_B]
        self.alive = [self.alive[place] for place in keep]
        return chosen_B[keep_B]

    def _forward(self, input_ids_BT, mask_BT, position_ids_BT) -> torch.Tensor:
        output = self.model(
            input_ids=input_ids_BT,
            attention_mask=mask_BT,
            position_ids=position_ids_BT,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=ROW_TOKENS,
        )
        return output.logits[:, -1].float()


def _uniforms(seed: int, keys: Sequence[int], num_samples: int, max_tokens: int) -> torch.Tensor:
    """Uniform numbers in [0, 1), one for each token of each row, rows as in the batch: B x T."""
    drawn = [np.random.default_rng([seed, key]).random((num_samples, max_tokens), dtype=np.float32) for key in keys]
    return torch.from_numpy(np.concatenate(drawn))


def _choose(logits_BV, temperature: float, uniforms_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The next token of each row and its log-probability: the likeliest, or the one where its uniform number falls."""
    logprobs_BV = torch.log_softmax(logits_BV / temperature if temperature else logits_BV, dim=-1)
    if temperature:
        cumulative_BV = logprobs_BV.exp().cumsum(-1)
        thresholds_B1 = (uniforms_B * cumulative_BV[:, -1]).unsqueeze(1)
        chosen_B = torch.searchsorted(cumulative_BV, thresholds_B1, right=True).squeeze(1)
        chosen_B = chosen_B.clamp(max=logits_BV.shape[1] - 1)  # rounding may put a threshold at the very end
    else:
        chosen_B = logits_BV.argmax(dim=-1)
    return chosen_B, logprobs_BV.gather(1, chosen_B.unsqueeze(1)).squeeze(1)


def _completion(tokenizer, token_ids: list[int], logprobs: list[float], stop_ids: set[int]) -> Completion:
    finished = token_ids[-1] in stop_ids
    text = tokenizer.decode(token_ids[:-1] if finished else token_ids, skip_special_tokens=False).strip()
    return Completion(token_ids, logprobs, text, finished)
