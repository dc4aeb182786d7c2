"""Generation through transformers' own forward pass and cache: for every family that in2x.decoding.decoder has not.

Prompts are padded on the left and read once; their keys and values are then repeated for each sample.

Legend: P prompts, N rows (samples) in the batch, T tokens so far, V vocabulary.
"""

import torch
from torch import nn
from transformers import DynamicCache

ROW_TOKENS = 1  # logits are asked for the last position only


class GenericDecoder:
    """The samples of several prompts in the making, as in2x.decoding.decoder.GroupDecoder; its states are logits."""

    def __init__(self, model: nn.Module, prompts: list[list[int]], num_samples: int, max_tokens: int):
        self.model, self.num_samples = model, num_samples
        longest = max(len(prompt) for prompt in prompts)
        padded = [[0] * (longest - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self.prompts_PT = torch.tensor(padded, device=model.device)
        self.mask = torch.tensor(mask, device=model.device)
        self.cache = DynamicCache(config=model.config)

    def head(self, logits_NV: torch.Tensor) -> torch.Tensor:
        return logits_NV

    def start(self) -> torch.Tensor:
        logits_PV = self._forward(self.prompts_PT, (self.mask.cumsum(1) - 1).clamp(min=0))
        if self.num_samples > 1:
            self.cache.batch_repeat_interleave(self.num_samples)
            self.mask = self.mask.repeat_interleave(self.num_samples, 0)
        return logits_PV

    def step(self, tokens_N: torch.Tensor) -> torch.Tensor:
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.mask), 1)], dim=1)
        return self._forward(tokens_N.unsqueeze(1), self.mask.sum(1, keepdim=True) - 1)

    def keep(self, rows_N: torch.Tensor) -> None:
        self.cache.batch_select_indices(rows_N)
        self.mask = self.mask[rows_N]

    def _forward(self, input_ids, position_ids) -> torch.Tensor:
        output = self.model(
            input_ids=input_ids,
            attention_mask=self.mask,
            position_ids=position_ids,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=ROW_TOKENS,
        )
        return output.logits[:, -1].float()
