"""New pieces for a byte-level BPE tokenizer whose target language is spelled in many small ones.

Byte-pair encoding (Sennrich et al., arXiv 1508.07909) is taken up where the tokenizer stopped: its own tokens of the
target language's text are the symbols, and the pair that stands there most often becomes a piece, again and again.
Joining a pair saves as many tokens as it has occurrences, so these are the pieces that save most, one at a time. The
new merges come after all old ones: text is split as before, then joined further; nothing else changes.

A new piece's embedding is the mean of those of the old tokens that spelled it, in the input and in the head.
"""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer

from in2x.artifacts import In2xError


@dataclass(frozen=True)
class Piece:
    """A new piece: what it is spelled with (old or earlier new pieces), its id, and the old ids that it replaces."""

    left: str
    right: str
    id: int
    old_ids: tuple[int, ...]


def extend_vocabulary(model, tokenizer, settings, texts: Sequence[str], held_out: Mapping[str, Sequence[str]]):
    """Extend tokenizer and model (in place) by `settings.num_pieces`; returns the new tokenizer, and facts about it.

    The pieces are counted in `texts`, of the target language; tokens by character in `held_out`, by language.

    Raises:
        In2xError: the tokenizer is no byte-level BPE, or the text has too few pairs that are frequent enough.
    """
    rows = model.get_input_embeddings().num_embeddings
    pieces = new_pieces(tokenizer, texts, settings.num_pieces, settings.min_count, rows)
    extended = with_pieces(tokenizer, pieces)
    add_embeddings(model, pieces)
    facts = {"num_pieces": len(pieces), "examples": [extended.decode([piece.id]) for piece in pieces[:20]]}
    for name, own in (("before", tokenizer), ("after", extended)):
        facts[name] = {language: fertility(own, given) for language, given in held_out.items()}
    return extended, facts


def fertility(tokenizer, texts: Sequence[str]) -> float:
    """Tokens per character."""
    encoded = tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return sum(len(item.ids) for item in encoded) / max(1, sum(map(len, texts)))


def new_pieces(tokenizer, texts: Iterable[str], num_pieces: int, min_count: int, first_id: int) -> list[Piece]:
    """The next `num_pieces` merges of the tokenizer on these texts; ids from first_id on. Ties: by the pieces' names.

    Raises:
        In2xError: no byte-level BPE; or fewer merges have min_count occurrences.
    """
    backend = _plain_backend(tokenizer)
    words = _words(backend, texts)
    symbols = [list(word) for word in words]
    counts = list(words.values())
    joins = _Joins(symbols, counts)
    old_ids = {piece: (id,) for piece, id in tokenizer.get_vocab().items()}
    pieces: list[Piece] = []
    while len(pieces) < num_pieces:
        pair = joins.best(min_count)
        if pair is None:
            raise In2xError(
                f"vocabulary: the text has {len(pieces)} pairs of pieces with {min_count} occurrences or more, and "
                f"{num_pieces} are wanted: lower num_pieces or min_count, or give more text of the target language"
            )
        left, right = pair
        joins.join(pair)
        if left + right in old_ids:  # two ways to spell one piece: the merge alone is new, and is not worth its rank
            continue
        old_ids[left + right] = old_ids[left] + old_ids[right]
        pieces.append(Piece(left, right, first_id + len(pieces), old_ids[left + right]))
    return pieces


def with_pieces(tokenizer, pieces: Sequence[Piece]):
    """A tokenizer of the same settings with the pieces and their merges at the end."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    model = described["model"]
    for token in described["added_tokens"]:  # or else loading would number them anew, behind the larger vocabulary
        model["vocab"].setdefault(token["content"], token["id"])
    as_pairs = bool(model["merges"]) and isinstance(model["merges"][0], list)
    for piece in pieces:
        model["vocab"][piece.left + piece.right] = piece.id
        model["merges"].append([piece.left, piece.right] if as_pairs else f"{piece.left} {piece.right}")
    arguments = {
        name: value for name, value in tokenizer.init_kwargs.items() if name not in ("tokenizer_file", "vocab")
    }
    arguments = {name: value for name, value in arguments.items() if name not in ("merges", "tokenizer_object")}
    extended = type(tokenizer)(tokenizer_object=Tokenizer.from_str(json.dumps(described)), **arguments)
    extended.chat_template = tokenizer.chat_template
    return extended


@torch.no_grad()
def add_embeddings(model, pieces: Sequence[Piece]) -> None:
    """Rows for the pieces in the embedding, and in the head where it is another table: means of their old tokens'."""
    model.resize_token_embeddings(pieces[-1].id + 1, mean_resizing=False)
    tables = {id(table.weight): table.weight for table in (model.get_input_embeddings(), model.get_output_embeddings())}
    for weight in tables.values():
        for piece in pieces:
            weight[piece.id] = weight[list(piece.old_ids)].float().mean(0).to(weight.dtype)
    bias = getattr(model.get_output_embeddings(), "bias", None)
    if bias is not None:
        for piece in pieces:
            bias[piece.id] = bias[list(piece.old_ids)].mean()


def _plain_backend(tokenizer) -> Tokenizer:
    """The tokenizer that reads control tokens as text; refuses what is no byte-level BPE."""
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    kind = described["model"]["type"]
    if kind != "BPE" or "ByteLevel" not in json.dumps(described["pre_tokenizer"]):
        raise In2xError(f"vocabulary: only byte-level BPE tokenizers can be extended, and this one is {kind}; leave "
                        "`vocabulary` out, or take another base")  # fmt: skip
    backend = Tokenizer.from_str(json.dumps(described))
    backend.encode_special_tokens = True
    return backend


def _words(backend: Tokenizer, texts: Iterable[str]) -> Counter[tuple[str, ...]]:
    """How often each word (of the pre-tokenizer) occurs, as the pieces that it is split into; single ones left out."""
    found: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        encoded = backend.encode(text, add_special_tokens=False)
        word: list[str] = []
        last = None
        for piece, number in zip(encoded.tokens, encoded.word_ids, strict=True):
            if number != last and word:
                found[tuple(word)] += 1
                word = []
            word.append(piece)
            last = number
        if word:
            found[tuple(word)] += 1
    return Counter({word: count for word, count in found.items() if len(word) > 1})


class _Joins:
    """Counts of neighbouring pieces, kept up to date while pairs are joined."""

    def __init__(self, symbols: list[list[str]], counts: list[int]):
        self.symbols, self.counts = symbols, counts
        self.totals: Counter[tuple[str, str]] = Counter()
        self.where: dict[tuple[str, str], set[int]] = defaultdict(set)
        for word in range(len(symbols)):
            self._count(word, 1)
        self.heap = [(-total, pair) for pair, total in self.totals.items()]
        heapq.heapify(self.heap)

    def best(self, min_count: int) -> tuple[str, str] | None:
        while self.heap:
            total, pair = heapq.heappop(self.heap)
            if -total == self.totals[pair] >= min_count:
                return pair
        return None

    def join(self, pair: tuple[str, str]) -> None:
        changed: set[tuple[str, str]] = set()
        for word in sorted(self.where[pair]):
            changed |= set(_neighbours(self.symbols[word]))
            self._count(word, -1)
            self.symbols[word] = _joined(self.symbols[word], pair)
            self._count(word, 1)
            changed |= set(_neighbours(self.symbols[word]))
        for own in changed - {pair}:
            if self.totals[own] > 0:
                heapq.heappush(self.heap, (-self.totals[own], own))

    def _count(self, word: int, sign: int) -> None:
        for pair in _neighbours(self.symbols[word]):
            self.totals[pair] += sign * self.counts[word]
            (self.where[pair].add if sign > 0 else self.where[pair].discard)(word)


def _neighbours(symbols: Sequence[str]) -> Iterator[tuple[str, str]]:
    return zip(symbols, symbols[1:], strict=False)


def _joined(symbols: Sequence[str], pair: tuple[str, str]) -> list[str]:
    """Every occurrence of the pair as one symbol, from the left."""
    found, place = [], 0
    while place < len(symbols):
        both = tuple(symbols[place : place + 2]) == pair
        found.append(pair[0] + pair[1] if both else symbols[place])
        place += 2 if both else 1
    return found
