"""Cross-lingual similarity: the cosine of the mean hidden states of source and translation in a causal model.

Hidden states of a language model share large common directions, so that any two texts are alike; each language's mean
state (over texts that are given once) is taken away before the cosine. How well it tells translations apart depends on
the model: measure it (docs/rewards.md), and do not trust a small model's.

Legend: B texts, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from in2x.artifacts import In2xError

BATCH_SIZE = 64
MAX_TOKENS = 256
DEPTH = 0.75  # the layer at this share of the depth: below it are the words, at the top the next token


class Embedder:
    """Mean states of texts from layer round(DEPTH * layers), centred by side.

    `centre_sources`, `centre_targets`: texts of both languages whose mean states are taken away.
    """

    def __init__(self, model, tokenizer, centre_sources: Sequence[str] = (), centre_targets: Sequence[str] = ()):
        self.model, self.tokenizer = model.eval(), tokenizer
        self.layer = max(1, round(DEPTH * model.config.num_hidden_layers))
        self._centres = [
            self._states(texts).mean(axis=0) if texts else 0.0 for texts in (centre_sources, centre_targets)
        ]

    def similarities(self, sources: Sequence[str], hypotheses: Sequence[str]) -> np.ndarray:
        """Cosine of each source and its hypothesis, on [-1, 1]; an empty text has -1.

        Raises:
            ValueError: another number of hypotheses than sources.
        """
        if len(sources) != len(hypotheses):
            raise ValueError(f"{len(sources)} sources but {len(hypotheses)} hypotheses")
        source_BD = self._states(sources) - self._centres[0]
        target_BD = self._states(hypotheses) - self._centres[1]
        norms_B = np.linalg.norm(source_BD, axis=1) * np.linalg.norm(target_BD, axis=1)
        cosines_B = (source_BD * target_BD).sum(axis=1) / np.maximum(norms_B, 1e-12)
        empty_B = np.array(
            [not (source.strip() and text.strip()) for source, text in zip(sources, hypotheses, strict=True)]
        )
        return np.where(empty_B, -1.0, np.clip(cosines_B, -1.0, 1.0))

    @torch.inference_mode()
    def _states(self, texts: Sequence[str]) -> np.ndarray:
        """Mean hidden state of each text's tokens, B x D; equal texts are computed once, an empty one is 0."""
        distinct = sorted({text for text in texts if text.strip()}, key=lambda text: (len(text), text))
        states: dict[str, np.ndarray] = {}
        for start in range(0, len(distinct), BATCH_SIZE):
            batch = distinct[start : start + BATCH_SIZE]
            ids = [
                item.ids[:MAX_TOKENS]
                for item in self.tokenizer.backend_tokenizer.encode_batch_fast(batch, add_special_tokens=False)
            ]
            width = max(map(len, ids))
            input_ids_BT = torch.tensor(
                [tokens + [self.tokenizer.pad_token_id] * (width - len(tokens)) for tokens in ids]
            )
            mask_BT = torch.tensor([[1] * len(tokens) + [0] * (width - len(tokens)) for tokens in ids])
            device = self.model.device
            hidden_BTD = self.model(
                input_ids=input_ids_BT.to(device), attention_mask=mask_BT.to(device), output_hidden_states=True
            ).hidden_states[self.layer]
            weights_BT1 = mask_BT.to(device)[..., None].to(hidden_BTD.dtype)
            mean_BD = (hidden_BTD * weights_BT1).sum(1) / weights_BT1.sum(1)
            states |= zip(batch, mean_BD.float().cpu().numpy().astype(np.float64), strict=True)
        zero = np.zeros(self.model.config.hidden_size)
        return np.array([states.get(text, zero) for text in texts]).reshape(len(texts), -1)


def load_embedder(path: Path, centre_sources: Sequence[str] = (), centre_targets: Sequence[str] = ()) -> Embedder:
    """An embedder from a model's folder.

    Raises:
        In2xError: no model is there.
    """
    from in2x.model.loading import load_model, load_tokenizer, on_device

    if not (Path(path) / "config.json").exists():
        raise In2xError(f"{path}: no model is there to embed with (no config.json)")
    return Embedder(on_device(load_model(path)), load_tokenizer(path), centre_sources, centre_targets)
