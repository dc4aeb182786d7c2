"""N-grams that sequences have in common, counted exactly for many sequences at once.

Identities come from sorting: all windows of six symbols are sorted once, and windows that share their first n symbols
then stand side by side. So one sort serves every order, and nothing is hashed that could collide.

Clipped counts come from matrix products. Split every n-gram into features "seen at least k times", then
sum_v min(a_v, b_v) = sum_v sum_k [a_v >= k] [b_v >= k] is a plain product of two 0/1 matrices.

Legend: N sequences (a text's characters, or its tokens), L symbols in all, M n-grams of one order, V distinct n-grams,
F features, O orders, H hypotheses, R references.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

MAX_ORDER = 6
SYMBOL_BITS = 21  # holds every code point (0x10FFFF) and three symbols in one int64
BLOCK_CELLS = 1 << 22  # cells of a feature matrix made at once: bounds memory, whatever N and V

Rows = slice | np.ndarray


class Pairs(NamedTuple):
    """All pairs of two lists of texts, reduced to the distinct ones."""

    texts: list[str]  # N distinct texts, hypotheses first
    hyp_rows: Rows
    ref_rows: Rows
    hyp_places: np.ndarray  # of each hypothesis as given, among the rows
    ref_places: np.ndarray
    shape: tuple[int, int]  # distinct hypotheses, distinct references

    def expand(self, values_HR: np.ndarray) -> np.ndarray:
        """Return the values of the texts as given, with their duplicates."""
        return values_HR if values_HR.shape == self._given else values_HR[np.ix_(self.hyp_places, self.ref_places)]

    @property
    def _given(self) -> tuple[int, int]:
        return self.hyp_places.size, self.ref_places.size


class Symbols(NamedTuple):
    """N sequences laid end to end."""

    codes_L: np.ndarray
    lengths_N: np.ndarray


def pairs(hypotheses: Sequence[str], references: Sequence[str]) -> Pairs:
    """Reduce two lists of texts to their distinct texts.

    Raises:
        TypeError: one string where a list of them is expected.
    """
    check_lists(hypotheses, references)
    row_of = {text: row for row, text in enumerate(dict.fromkeys([*hypotheses, *references]))}
    hyp_rows, hyp_places = _distinct(hypotheses, row_of)
    ref_rows, ref_places = _distinct(references, row_of)
    shape = (len(dict.fromkeys(hypotheses)), len(dict.fromkeys(references)))
    return Pairs(list(row_of), hyp_rows, ref_rows, hyp_places, ref_places, shape)


def characters(texts: Sequence[str]) -> Symbols:
    """The code points of each text, whitespace left out."""
    stripped = ["".join(text.split()) for text in texts]
    codes_L = np.frombuffer("".join(stripped).encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    return Symbols(codes_L.astype(np.int64), np.array([len(text) for text in stripped], dtype=np.int64))


def tokens(token_lists: Sequence[Sequence[str]]) -> Symbols:
    """One number per distinct token.

    Raises:
        ValueError: more than 2^21 distinct tokens.
    """
    numbers: dict[str, int] = {}
    codes = [numbers.setdefault(token, len(numbers)) for tokens in token_lists for token in tokens]
    if len(numbers) > 1 << SYMBOL_BITS:
        raise ValueError(f"expected at most {1 << SYMBOL_BITS} distinct tokens in one call, got {len(numbers)}")
    return Symbols(np.array(codes, dtype=np.int64), np.array([len(tokens) for tokens in token_lists], dtype=np.int64))


def totals(lengths_N: np.ndarray, max_order: int) -> np.ndarray:
    """Number of n-grams of each sequence, N x O for orders 1..O."""
    return np.maximum(lengths_N[:, None] - np.arange(max_order), 0)


def by_order(
    symbols: Symbols, max_order: int, scopes_N: np.ndarray | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield, for orders 1..max_order, the sequence and the identity (rows_M, ids_M) of every n-gram.

    Identities are 0..V-1 and ascend over M. With `scopes_N`, n-grams of sequences in different scopes are different.
    """
    codes_L, lengths_N = symbols
    row_L = np.repeat(np.arange(lengths_N.size), lengths_N)
    starts = _sort_windows(codes_L, None if scopes_N is None else scopes_N[row_L])
    rows = row_L[starts]
    left = np.cumsum(lengths_N)[rows] - starts
    ids = np.zeros_like(rows) if scopes_N is None else scopes_N[rows]
    for order in range(1, max_order + 1):
        fits = left >= order
        if not fits.all():
            starts, rows, left, ids = starts[fits], rows[fits], left[fits], ids[fits]
        last = codes_L[starts + order - 1]
        differs = (ids[1:] != ids[:-1]) | (last[1:] != last[:-1])
        ids = np.zeros_like(rows)
        np.cumsum(differs, out=ids[1:])
        yield rows, ids


def pairwise_matches(
    symbols: Symbols, max_order: int, hyp_rows: Rows = slice(None), ref_rows: Rows = slice(None)
) -> Iterator[np.ndarray]:
    """Yield, for orders 1..max_order, the clipped counts of common n-grams, H x R.

    The sequences must be distinct: n-grams that only one of them has are dropped from the product, and the count of a
    sequence with itself is its number of n-grams. float32 is exact below 2^24 n-grams.
    """
    numbers_N = np.arange(symbols.lengths_N.size)
    same = np.nonzero(numbers_N[hyp_rows][:, None] == numbers_N[ref_rows])
    totals_HO = totals(symbols.lengths_N[hyp_rows], max_order)
    for order, (rows, ids) in enumerate(by_order(symbols, max_order)):
        matches_HR = np.zeros((len(numbers_N[hyp_rows]), len(numbers_N[ref_rows])), dtype=np.float32)
        for features_FN in _features(*_shared(rows, ids), numbers_N.size):
            matches_HR += features_FN[:, hyp_rows].T @ features_FN[:, ref_rows]
        matches_HR[same] = totals_HO[same[0], order]
        yield matches_HR


def aligned_matches(symbols: Symbols, max_order: int) -> np.ndarray:
    """Clipped counts of common n-grams of sequences 2i and 2i + 1, N / 2 x O for orders 1..O."""
    num_pairs = symbols.lengths_N.size // 2
    matches = np.zeros((num_pairs, max_order), dtype=np.int64)
    for order, (rows, ids) in enumerate(by_order(symbols, max_order, np.arange(2 * num_pairs) // 2)):
        counts_V2 = np.bincount(2 * ids + rows % 2, minlength=2 * _num(ids)).reshape(-1, 2)
        pair_V = np.zeros(len(counts_V2), dtype=np.int64)
        pair_V[ids] = rows // 2
        clipped_V = np.minimum(counts_V2[:, 0], counts_V2[:, 1])
        matches[:, order] = np.bincount(pair_V, weights=clipped_V, minlength=num_pairs)
    return matches


def mean_matches(symbols: Symbols, max_order: int, weights_N: np.ndarray) -> np.ndarray:
    """sum_v min(count_v, mean count_v) of every sequence, N x O, the mean taken over all sequences by `weights_N`."""
    num_rows = symbols.lengths_N.size
    matches = np.zeros((num_rows, max_order))
    for order, (rows, ids) in enumerate(by_order(symbols, max_order)):
        cells, counts = np.unique(ids * num_rows + rows, return_counts=True)
        cell_ids, cell_rows = np.divmod(cells, num_rows)
        mean_V = np.bincount(cell_ids, weights=counts * weights_N[cell_rows], minlength=_num(ids))
        clipped = np.minimum(counts, mean_V[cell_ids])
        matches[:, order] = np.bincount(cell_rows, weights=clipped, minlength=num_rows)
    return matches


def check_lists(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    """Refuse one string in place of a list: its characters would pass for texts."""
    for name, texts in (("hypotheses", hypotheses), ("references", references)):
        if isinstance(texts, str):
            raise TypeError(f"{name} must be a sequence of strings, got one string")


def _distinct(texts: Sequence[str], row_of: dict[str, int]) -> tuple[Rows, np.ndarray]:
    """Return the rows of the distinct texts, a slice where they are the first ones, and each text's place in them."""
    rows = list(dict.fromkeys(row_of[text] for text in texts))
    place_of = {row: place for place, row in enumerate(rows)}
    places = np.array([place_of[row_of[text]] for text in texts], dtype=np.intp)
    return slice(len(rows)) if rows == list(range(len(rows))) else np.array(rows, dtype=np.intp), places


def _sort_windows(codes_L: np.ndarray, scopes_L: np.ndarray | None) -> np.ndarray:
    """Return the L window starts ordered by scope, then by the six symbols from there on.

    A window may run past its sequence into the next: only its first n symbols matter, and those lie inside wherever
    an n-gram of that order starts. Windows are halved to fit: the ranks of two halves make one integer key.
    """
    size = codes_L.size
    padded = np.zeros(size + 3, dtype=np.int64)
    padded[:size] = codes_L
    halves_L = padded[:size] << 2 * SYMBOL_BITS | padded[1 : size + 1] << SYMBOL_BITS | padded[2 : size + 2]
    order = np.argsort(halves_L)
    halves_L = halves_L[order]
    ranks = np.zeros(size + 3, dtype=np.int64)
    ranks[order[1:]] = np.cumsum(halves_L[1:] != halves_L[:-1])
    bits = size.bit_length()
    keys_L = ranks[:size] << bits | ranks[3:]
    if scopes_L is not None and size:
        if int(scopes_L.max()).bit_length() + 2 * bits > 63:
            raise ValueError(f"{size} symbols in {scopes_L.max() + 1} scopes are too many for one call: split them")
        keys_L |= scopes_L << 2 * bits
    return np.argsort(keys_L)


def _shared(rows: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keep the n-grams that at least two sequences have, and number their identities anew."""
    several = np.zeros(_num(ids), dtype=bool)
    several[ids[1:][(ids[1:] == ids[:-1]) & (rows[1:] != rows[:-1])]] = True
    kept = several[ids]
    return rows[kept], (np.cumsum(several) - 1)[ids[kept]]


def _features(rows: np.ndarray, ids: np.ndarray, num_rows: int) -> Iterator[np.ndarray]:
    """Yield blocks F x N of 0/1 features: whether each sequence has the n-gram at least k times."""
    step = max(1, BLOCK_CELLS // max(1, num_rows))
    for first in range(0, _num(ids), step):
        begin, end = np.searchsorted(ids, (first, first + step))
        cells = (ids[begin:end] - first) * num_rows + rows[begin:end]
        num_ids = int(ids[end - 1]) - first + 1
        counts_VN = np.bincount(cells, minlength=num_ids * num_rows).reshape(num_ids, num_rows)
        most_V = counts_VN.max(axis=1)
        ngram_F = np.repeat(np.arange(num_ids), most_V)
        level_F = np.arange(1, ngram_F.size + 1) - (np.cumsum(most_V) - most_V)[ngram_F]
        yield (counts_VN[ngram_F] >= level_F[:, None]).astype(np.float32)


def _num(ids: np.ndarray) -> int:
    """The number of identities V of ascending ids."""
    return int(ids[-1]) + 1 if ids.size else 0
