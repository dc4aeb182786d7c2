"""What a phase of training gave and cost, on fixed held-out sets: measured after every phase, changing nothing.

- Perplexity by language, by language and domain, of the best-written half of the texts (the rules of
  `in2x.training.selection`), and of documents of several pairs by position.
- chrF2 of translations asked for with a few examples, as a document that the model goes on with.
- Precision at 1 of retrieval by hidden states (`in2x.evaluation.retrieval`).
- Round-trip consistency: chrF2 of a text against its translation, translated back by the same model.

Tokenizers differ in what a token is: perplexities compare models of one tokenizer alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from in2x.decoding.generate import generate
from in2x.evaluation.metrics import chrf_value
from in2x.evaluation.perplexity import TokenLosses, token_losses
from in2x.evaluation.retrieval import retrieval
from in2x.model.prompts import line_stops
from in2x.training.packing import Document
from in2x.training.streams import Stream

FIRST_BUCKET = 16
"""Positions below it are one bucket; each further one is twice as long."""


@dataclass(frozen=True)
class HeldOut:
    """The held-out streams en, ja, pairs and documents; the domain and the quality of each document by stream; and
    the held-out pairs themselves (records.PAIRS), examples first."""

    streams: dict[str, Stream]
    domains: dict[str, list[str]]
    qualities: dict[str, list[float]]
    pairs: pl.DataFrame
    pair: str


@dataclass(frozen=True)
class Sizes:
    """Tokens of a row for sentences, of a row for documents, and of a forward pass."""

    sentence_tokens: int
    document_tokens: int
    micro_batch_tokens: int


def measure(model, tokenizer, held_out: HeldOut, settings, sizes: Sizes, translate: Callable | None = None) -> dict:
    """All measures that `settings` (sections.Measures) ask for; the model and every random state are left as they are.

    `translate(texts, direction)` returns translations; left out, the model is shown examples.
    """
    was_training, random_state = model.training, torch.get_rng_state()
    try:
        found = perplexities(model, held_out, settings, sizes)
        found |= translation_measures(model, tokenizer, held_out, settings, translate)
        found |= retrieval_measure(model, tokenizer, held_out, settings, sizes)
    finally:
        model.train(was_training)
        torch.set_rng_state(random_state)
    return found


def perplexities(model, held_out: HeldOut, settings, sizes: Sizes) -> dict:
    """`perplexity` by stream; by_domain, quality and by_position where they are asked for."""
    pad = model.config.get_text_config().pad_token_id or 0
    found: dict[str, dict] = {"perplexity": {}}
    if settings.by_domain:
        found |= {"by_domain": {}, "quality": {}}
    for name, stream in held_out.streams.items():
        if name == "documents":
            continue
        losses = token_losses(model, _documents(stream), sizes.sentence_tokens, sizes.micro_batch_tokens, pad)
        found["perplexity"][name] = losses.perplexity()
        if settings.by_domain:
            found["by_domain"] |= _by_domain(name, losses, held_out.domains[name])
            found["quality"][name] = _of_the_better_half(losses, np.array(held_out.qualities[name]))
    if settings.by_domain and "documents" in held_out.streams:
        documents = _documents(held_out.streams["documents"])[: settings.num_documents]
        losses = token_losses(model, documents, sizes.document_tokens, sizes.micro_batch_tokens, pad)
        found["by_position"] = by_position(losses)
    return found


def _documents(stream: Stream) -> list[Document]:
    return [stream.document(index) for index in range(len(stream.ids))]


def _by_domain(name: str, losses: TokenLosses, domains: Sequence[str]) -> dict[str, float]:
    own_N = np.array(domains)[losses.document_N]
    return {f"{name}:{domain}": losses.perplexity(own_N == domain) for domain in sorted(set(own_N.tolist()))}


def _of_the_better_half(losses: TokenLosses, qualities: np.ndarray) -> float | None:
    if not len(qualities):
        return None
    return losses.perplexity((qualities >= np.median(qualities))[losses.document_N])


def by_position(losses: TokenLosses) -> dict[str, float]:
    """Perplexity by position in the document: "1-15", "16-31", "32-63" and so on, those that occur."""
    found, low, high = {}, 1, FIRST_BUCKET
    while low <= losses.position_N.max(initial=0):
        value = losses.perplexity((losses.position_N >= low) & (losses.position_N < high))
        if value is not None:
            found[f"{low}-{high - 1}"] = value
        low, high = high, 2 * high
    return found


# --- translation ----------------------------------------------------------------------------------------------


def translation_measures(model, tokenizer, held_out: HeldOut, settings, translate: Callable | None = None) -> dict:
    """chrF2 on the same segments whatever the number of examples:

    few_shot: by direction and number of examples, "en-ja, 4 examples"; by direction alone where `translate` is given.
    round_trip: of the text against its back-translation, "en-ja-en", with the first number of examples.
    """
    most = max(settings.few_shot_examples)
    examples, segments = held_out.pairs.head(most), held_out.pairs.slice(most, settings.few_shot_segments)
    if segments.is_empty():
        return {}

    def few_shot(number: int) -> Callable:
        def translated(texts: Sequence[str], direction: str) -> list[str]:
            shown = _sides(examples.head(number), held_out.pair, direction)
            return few_shot_translations(model, tokenizer, texts, shown, settings.max_completion_tokens)

        return translated

    ways = {f", {_counted(number)}": few_shot(number) for number in settings.few_shot_examples}
    if translate:
        ways = {"": translate}
    found: dict[str, dict] = {"few_shot": {}}
    for number, (name, way) in enumerate(ways.items()):
        for direction in (held_out.pair, _back(held_out.pair)):
            texts, references = zip(*_sides(segments, held_out.pair, direction), strict=True)
            there = way(texts, direction)
            found["few_shot"][direction + name] = chrf_value(there, references)
            if number == 0 and settings.round_trip_segments:
                texts, there = texts[: settings.round_trip_segments], there[: settings.round_trip_segments]
                loop = f"{direction}-{direction.split('-')[0]}"
                found.setdefault("round_trip", {})[loop] = chrf_value(way(there, _back(direction)), texts)
    return found


def _counted(number: int) -> str:
    return f"{number} example" + ("" if number == 1 else "s")


def _back(direction: str) -> str:
    return "-".join(reversed(direction.split("-")))


def few_shot_translations(
    model, tokenizer, texts: Sequence[str], examples: Sequence[tuple[str, str]], max_completion_tokens: int
) -> list[str]:
    """Greedy: the line that the model writes after the examples and the text, a line each."""
    before = "".join(f"{_line(source)}\n{_line(target)}\n" for source, target in examples)
    prompts = [f"{before}{_line(text)}\n" for text in texts]
    encoded = tokenizer.backend_tokenizer.encode_batch_fast(prompts, add_special_tokens=False)
    completions = generate(
        model, tokenizer, [item.ids for item in encoded], stop_ids=line_stops(tokenizer),
        max_completion_tokens=max_completion_tokens,
    )  # fmt: skip
    return [own.text for [own] in completions]


def _sides(pairs: pl.DataFrame, pair: str, direction: str) -> list[tuple[str, str]]:
    columns = ("source", "target") if direction == pair else ("target", "source")
    return pairs.select(*columns).rows()


def _line(text: str) -> str:
    return " ".join(text.split("\n"))


# --- retrieval ------------------------------------------------------------------------------------------------


def retrieval_measure(model, tokenizer, held_out: HeldOut, settings, sizes: Sizes) -> dict:
    """`retrieval`: precision at 1 by layer, for each direction; pairs of distinct near-duplicate groups."""
    pairs = held_out.pairs.unique("group", keep="first", maintain_order=True).head(settings.retrieval_segments)
    if len(pairs) < 2:
        return {}
    most, end_id = sizes.sentence_tokens - 1, tokenizer.eos_token_id
    sides = [
        [np.array([*item.ids[:most], end_id], np.int64) for item in _encode(tokenizer, pairs[column])]
        for column in ("source", "target")
    ]
    pad = model.config.get_text_config().pad_token_id or 0
    forward, backward = retrieval(model, *sides, sizes.micro_batch_tokens, pad)
    return {"retrieval": {held_out.pair: forward, _back(held_out.pair): backward, "num_segments": len(pairs)}}


def _encode(tokenizer, texts: pl.Series) -> list:
    return tokenizer.backend_tokenizer.encode_batch_fast(texts.to_list(), add_special_tokens=False)
