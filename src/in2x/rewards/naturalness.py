"""A preference model of natural writing: Bradley-Terry on pairs of a natural and an unnatural text.

It reads the translation alone, never the source: whether the meaning is kept is adequacy's business. The natural text
is what a person wrote; the unnatural one is what the supervised model sampled for the same source, or the person's
sentence with its phrases put out of order, so that the model can't succeed by recognising one machine's habits only.

Legend: B texts.
"""

import re
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn
from transformers import AutoModelForSequenceClassification

from in2x.artifacts import In2xError
from in2x.model.onednn import use_onednn
from in2x.model.prefix_tree import last_states, prefix_trees
from in2x.model.prefixes import unsupported

PHRASE = re.compile(
    r"[^はがをにでともへの、。！？\s]*[はがをにでともへの、]|[^はがをにでともへの、。！？\s]+[。！？]?|[。！？\s]+"
)

CPU_TOKENS, GPU_TOKENS = 2048, 1 << 17
"""Tokens of one forward pass, padding included: on a processor so many that they stay in its cache."""


def load(path, *, from_language_model: bool = False):
    """The preference model of a folder; `from_language_model` puts a fresh head on a language model's body."""
    extra = {"num_labels": 1} if from_language_model else {}
    try:
        model = AutoModelForSequenceClassification.from_pretrained(
            path, dtype=torch.float32, use_safetensors=True, **extra
        )
    except (OSError, ValueError) as error:
        raise In2xError(f"{path}: no preference model could be loaded: {error}") from error
    return use_onednn(model)


def encode(tokenizer, texts: list[str], max_tokens: int = 256) -> dict[str, torch.Tensor]:
    """Token ids padded on the right, each text closed by the end-of-turn token, whose state is scored."""
    return _padded(_token_ids(tokenizer, texts, max_tokens), tokenizer.pad_token_id)


def _token_ids(tokenizer, texts: list[str], max_tokens: int = 256) -> list[list[int]]:
    encoded = tokenizer.backend_tokenizer.encode_batch_fast(texts, add_special_tokens=False)
    return [item.ids[: max_tokens - 1] + [tokenizer.eos_token_id] for item in encoded]


def _padded(ids: list[list[int]], pad_token_id: int) -> dict[str, torch.Tensor]:
    longest = max(map(len, ids))
    input_ids = torch.full((len(ids), longest), pad_token_id)
    mask = torch.zeros((len(ids), longest), dtype=torch.long)
    for row, tokens in enumerate(ids):
        input_ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return {"input_ids": input_ids, "attention_mask": mask}


@torch.inference_mode()
def naturalness(model, tokenizer, texts: list[str]) -> np.ndarray:
    """Score of each text, on the logit scale of the Bradley-Terry model: differences are log-odds. Shape B.

    Less what its length predicts, where the model is corrected for length (see `correct_for_length`). Equal texts are
    scored once.
    """
    model.eval()
    distinct = list(dict.fromkeys(texts))
    ids = dict(zip(distinct, _token_ids(tokenizer, distinct), strict=True))
    max_tokens = GPU_TOKENS if model.device.type == "cuda" else CPU_TOKENS
    score = _tree_scores if unsupported(model) is None else _padded_scores
    scores, slope = score(model, tokenizer, ids, max_tokens), length_correction(model)
    found_B = np.array([scores[text] for text in texts])
    return found_B - slope * np.log1p([len(text) for text in texts]) if slope else found_B


def _tree_scores(model, tokenizer, ids: Mapping[str, list[int]], max_tokens: int) -> dict[str, float]:
    """By text, what several texts begin with computed once; the head's products are float32 in any case."""
    texts, scores = list(ids), {}
    for tree in prefix_trees(list(ids.values()), max_tokens):
        scores_B = nn.functional.linear(last_states(model, tree).float(), model.score.weight.float())[:, 0]
        scores |= zip((texts[place] for place in tree.texts), scores_B.tolist(), strict=True)
    return scores


def _padded_scores(model, tokenizer, ids: Mapping[str, list[int]], max_tokens: int) -> dict[str, float]:
    """The same for models whose attention can't be told which tokens see one another."""
    scores: dict[str, float] = {}
    for batch in _batches(ids, max_tokens):
        encoded = _padded([ids[text] for text in batch], tokenizer.pad_token_id)
        logits = model(**{name: tensor.to(model.device) for name, tensor in encoded.items()}).logits
        scores |= zip(batch, logits.squeeze(-1).tolist(), strict=True)
    return scores


def _batches(ids: Mapping[str, list[int]], max_tokens: int) -> Iterator[list[str]]:
    """Texts of about one length, with at most `max_tokens`, padding included, or alone."""
    batch, longest = [], 0
    for text in sorted(ids, key=lambda text: len(ids[text])):
        if batch and (len(batch) + 1) * max(longest, len(ids[text])) > max_tokens:
            yield batch
            batch, longest = [], 0
        batch.append(text)
        longest = max(longest, len(ids[text]))
    if batch:
        yield batch


def correct_for_length(model, slope: float) -> None:
    """Let `naturalness` take slope * ln(1 + characters) away from every score; the model's config keeps it."""
    model.config.length_slope = float(slope)


def length_correction(model) -> float:
    """The slope that is taken away; 0 where the model is not corrected."""
    return float(getattr(model.config, "length_slope", 0.0))


def bradley_terry_loss(model, batch: dict) -> tuple[torch.Tensor, dict]:
    """-log sigmoid(score(chosen) - score(rejected)), the mean over the step's pairs (Bradley and Terry 1952).

    The first half of the batch's rows are the chosen texts, the second half the rejected ones in the same order.
    """
    scores = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.squeeze(-1)
    chosen, rejected = scores.chunk(2)
    losses = -torch.nn.functional.logsigmoid(chosen - rejected)
    correct = (chosen > rejected).float().sum()
    number = len(chosen)
    return losses.sum() / batch["num_pairs"], {
        "loss": (float(losses.detach().sum()), number),
        "accuracy": (float(correct), number),
    }


def shuffled_phrases(text: str, rng: np.random.Generator) -> str:
    """The sentence with two neighbouring phrases exchanged: every word is there, the order is not natural."""
    phrases = PHRASE.findall(text)
    movable = len(phrases) - 1 if phrases and phrases[-1][-1:] in "。！？" else len(phrases)
    if movable < 2:
        return text
    place = int(rng.integers(movable - 1))
    phrases[place], phrases[place + 1] = phrases[place + 1], phrases[place]
    return "".join(phrases)
