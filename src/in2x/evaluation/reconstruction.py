"""How well a translation gives its source back: log-likelihood of the source, translated back, nats per token.

    score(x, y) = 1/|x| sum_t log p(x_t | y, x_<t)        p: a model that translates from y's language into x's

The channel model of noisy-channel translation (Yee et al. 2019, 1908.05731; Yu et al. 2017, 1611.02554). It reads the
source, which references and naturalness don't: what is left out, exchanged or invented makes the source less likely.
It is no metric of quality, since it pays for translating word by word, and for saying a thing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from in2x.artifacts import In2xError

MICRO_BATCH_TOKENS = 4096
Row = tuple[str, str, str]  # source, hypothesis, the source's language


class Reconstructor:
    """A model asked to translate back, in its chat template; it is left in evaluation mode."""

    def __init__(self, model, tokenizer):
        self.model, self.tokenizer = model.eval(), tokenizer

    def scores(self, rows: Sequence[Row]) -> np.ndarray:
        """Mean log-likelihood of each source's tokens and its end given the hypothesis: nats, at most 0.

        Equal rows are computed once.
        """
        distinct = list(dict.fromkeys(rows))
        found = dict(zip(distinct, self._distinct(distinct), strict=True))
        return np.array([found[row] for row in rows])

    def _distinct(self, rows: Sequence[Row]) -> list[float]:
        from in2x.instruct.prompts import translation_prompt
        from in2x.model.prompts import chat_turns
        from in2x.training.packing import Document

        asked = [translation_prompt(hypothesis, language) for _, hypothesis, language in rows]
        turns = zip(*chat_turns(self.tokenizer, asked, [source for source, _, _ in rows]), strict=True)
        documents = [
            Document("", np.array(prompt + answer), np.repeat([False, True], [len(prompt), len(answer)]))
            for prompt, answer in turns
        ]
        order = sorted(range(len(documents)), key=lambda place: len(documents[place].token_ids))
        scores = np.zeros(len(documents))
        scores[order] = self._in_order([documents[place] for place in order])
        return scores.tolist()

    def _in_order(self, documents: list) -> list[float]:
        """Of documents sorted by length: mean log-likelihood of the tokens in the loss mask."""
        import torch

        from in2x.model.logprobs import token_nats
        from in2x.training.batches import padded_micro_batches

        scores: list[float] = []
        for batch in padded_micro_batches(documents, MICRO_BATCH_TOKENS, self.tokenizer.pad_token_id):
            with torch.inference_mode():
                nats_N = token_nats(self.model, batch).double().cpu()
            counts = batch["loss_mask"].sum(1).tolist()
            scores += [-float(nats.mean()) for nats in nats_N.split(counts)]
        return scores


def load_reconstructor(path: Path) -> Reconstructor:
    """A reconstructor from the folder of a model that was tuned to translate both ways.

    Raises:
        In2xError: no model is there.
    """
    from in2x.model.loading import load_model, load_tokenizer, on_device

    if not (path / "config.json").exists():
        raise In2xError(f"{path}: no model is there to translate back with (no config.json)")
    return Reconstructor(on_device(load_model(path)), load_tokenizer(path))
