"""Connected groups of near-duplicate sentences, so that a split never separates two variants of one sentence.

Two rows are linked where either side has the same key, or where the character n-gram sets of a side are similar:
MinHash signatures (Broder 1997) banded for locality-sensitive hashing propose candidates, and the signatures'
agreement, an unbiased estimate of the Jaccard similarity, accepts them. The groups are the connected components.

Legend: N rows, S shingles of all rows together, K hash functions.
"""

import numpy as np
import polars as pl
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

NUM_HASHES = 64
ROWS_PER_BAND = 4
BLOCK_SHINGLES = 1 << 14  # hashed at a time, so that they stay in the processor's cache
BATCH_QUERIES = 20_000


def shingle_hashes(keys: list[str], size: int) -> tuple[np.ndarray, np.ndarray]:
    """Hash every character n-gram of every key.

    Returns (hashes_S as uint64, offsets of shape N + 1): row i owns hashes[offsets[i]:offsets[i + 1]].
    A key shorter than `size` is padded, so that every row has at least one shingle.
    """
    padded = [key.ljust(size, "\0") for key in keys]
    lengths = np.fromiter((len(key) for key in padded), np.int64, len(padded))
    codes = np.frombuffer("".join(padded).encode("utf-32-le"), np.uint32).astype(np.uint64)
    hashes = np.zeros(len(codes) - size + 1, np.uint64)
    for position in range(size):
        hashes = hashes * np.uint64(0x9E3779B97F4A7C15) + codes[position : position + len(hashes)]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    inside = np.ones(len(codes), bool)  # a shingle must not run over the end of its row
    for back in range(1, size):
        inside[starts[1:] - back] = False
    counts = lengths - size + 1
    return _mix(hashes[inside[: len(hashes)]]), np.concatenate([[0], np.cumsum(counts)])


def minhash(hashes: np.ndarray, offsets: np.ndarray, num_hashes: int = NUM_HASHES) -> np.ndarray:
    """MinHash signatures, N x K: the least value of each of K hash functions over a row's shingles."""
    random = np.random.default_rng(20250814)
    salts = random.integers(1, 2**63, num_hashes, dtype=np.uint64)
    signatures = np.empty((len(offsets) - 1, num_hashes), np.uint64)
    edges = np.unique(np.append(np.searchsorted(offsets, np.arange(0, len(hashes), BLOCK_SHINGLES)), len(offsets) - 1))
    for begin, end in zip(edges[:-1], edges[1:], strict=True):
        block, starts = hashes[offsets[begin] : offsets[end]], offsets[begin:end] - offsets[begin]
        for column, salt in enumerate(salts):
            signatures[begin:end, column] = np.minimum.reduceat(_mix(block ^ salt), starts)
    return signatures


def near_duplicate_groups(sides: list[list[str]], sizes: list[int], threshold: float) -> np.ndarray:
    """Group number of each row, 0-based in order of first appearance.

    Args:
        sides: one list of N normalised keys per side (source, target).
        sizes: shingle length in characters per side (languages written without spaces take a shorter one).
        threshold: least Jaccard similarity of two keys of one side that links their rows, in (0, 1].
    """
    if not sides or not sides[0]:
        return np.zeros(0, np.int64)
    num_rows = len(sides[0])
    edges = [edge for keys, size in zip(sides, sizes, strict=True) for edge in _links(keys, size, threshold)]
    left, right = (np.concatenate(column) for column in zip(*edges, strict=True))
    graph = csr_matrix((np.ones(len(left), bool), (left, right)), shape=(num_rows, num_rows))
    return connected_components(graph, directed=False)[1].astype(np.int64)


def highest_similarity(queries: list[str], keys: list[str], size: int) -> np.ndarray:
    """Exact highest Jaccard similarity of each query's shingles with those of any key (0 where there are no keys).

    The product of incidence matrices is taken over the keys' shingles only, so let `keys` be the smaller side.
    """
    if not queries or not keys:
        return np.zeros(len(queries))
    matrix, num_shingles = _incidence(queries + keys, size)
    queries_by_shingle, keys_by_shingle = matrix[: len(queries)], matrix[len(queries) :].T.tocsr()
    highest = np.zeros(len(queries))
    for start in range(0, len(queries), BATCH_QUERIES):
        shared = queries_by_shingle[start : start + BATCH_QUERIES] @ keys_by_shingle
        num_pairs = np.diff(shared.indptr)
        own = np.repeat(num_shingles[start : start + len(num_pairs)], num_pairs)
        similarity = shared.data / (own + num_shingles[len(queries) + shared.indices] - shared.data)
        found = np.flatnonzero(num_pairs)
        highest[start + found] = np.maximum.reduceat(similarity, shared.indptr[found])
    return highest


def _incidence(keys: list[str], size: int) -> tuple[csr_matrix, np.ndarray]:
    hashes, offsets = shingle_hashes(keys, size)
    distinct, columns = np.unique(hashes, return_inverse=True)
    rows = np.repeat(np.arange(len(keys)), np.diff(offsets))
    matrix = csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape=(len(keys), len(distinct)))
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix, np.diff(matrix.indptr)


def _links(keys: list[str], size: int, threshold: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """Pairs of rows to join: each row with the first of its key, and with those of its bucket that are similar."""
    first_of_key = (
        pl.Series(keys)
        .to_frame("key")
        .with_row_index()
        .select(pl.col("index").first().over("key"))["index"]
        .to_numpy()
        .astype(np.int64)
    )
    links = [(np.arange(len(keys)), first_of_key)]
    distinct = np.unique(first_of_key)
    signatures = minhash(*shingle_hashes([keys[row] for row in distinct], size))
    twins_together = np.lexsort((signatures[:, 0], signatures[:, -1]))
    for band in range(0, signatures.shape[1], ROWS_PER_BAND):
        bucket = _bucket(signatures[:, band : band + ROWS_PER_BAND])
        pairs = _similar_in_buckets(bucket, twins_together, signatures, threshold)
        links += [(distinct[left], distinct[right]) for left, right in pairs]
    return links


def _bucket(band: np.ndarray) -> np.ndarray:
    """One number for a band's values."""
    number = np.zeros(len(band), np.uint64)
    for column in band.T:
        number = _mix(number ^ column)
    return number


def _similar_in_buckets(bucket, order, signatures, threshold):
    """Neighbours in each bucket, where rows keep the given order, and first ones."""
    order = order[np.argsort(bucket[order], kind="stable")]
    bucket = bucket[order]
    same = bucket[1:] == bucket[:-1]
    shared = np.append(same, False) | np.append(False, same)  # rows that are alone in their bucket have no neighbour
    order, bucket = order[shared], bucket[shared]
    for step in (1, 2, 3):
        same = bucket[step:] == bucket[:-step]
        yield _accept(order[step:][same], order[:-step][same], signatures, threshold)
    yield _accept(order, order[np.searchsorted(bucket, bucket, side="left")], signatures, threshold)


def _accept(left, right, signatures, threshold):
    agreement = np.count_nonzero(signatures[left] == signatures[right], axis=1) / signatures.shape[1]
    return left[agreement >= threshold], right[agreement >= threshold]


def _mix(values: np.ndarray) -> np.ndarray:
    """SplitMix64 finaliser (Steele et al. 2014): spreads every input bit over the output."""
    values = values ^ (values >> np.uint64(30))
    values *= np.uint64(0xBF58476D1CE4E5B9)
    values ^= values >> np.uint64(27)
    values *= np.uint64(0x94D049BB133111EB)
    values ^= values >> np.uint64(31)
    return values
