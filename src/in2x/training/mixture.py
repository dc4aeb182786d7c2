"""A phase's mixture: documents drawn from weighted streams, packed shard by shard, the same for the same seed.

A shard is what is packed at once; memory holds one. Every stream is walked epoch by epoch, so no document is seen a
second time before the others of its stream have been seen once. Only the position in the streams passes from shard to
shard, so an interrupted phase continues with the rows that it would have had. Rows that don't fill a step at the end
of a shard are left out.
"""

from collections.abc import Iterator

import numpy as np

from in2x.training.packing import Document, Rows, pack
from in2x.training.streams import Stream

SHARD_TOKENS = 2_000_000


class Mixture:
    """Yields the rows of each step of a phase; counts the documents drawn by stream."""

    def __init__(
        self,
        streams: dict[str, Stream],
        weights: dict[str, float],
        num_tokens: int,
        rows_per_step: int,
        context_tokens: int,
        pad_token_id: int,
        seed: list[int],
    ):
        self.streams, self.pad_token_id, self.context_tokens = streams, pad_token_id, context_tokens
        total = sum(weights.values())
        self.weights = {name: weight / total for name, weight in weights.items()}
        self.rows_per_step, self.seed = rows_per_step, seed
        self.shard_tokens = min(num_tokens, SHARD_TOKENS)
        self.num_documents = dict.fromkeys(weights, 0)

    def steps(self, skip: int = 0) -> Iterator[Rows]:
        """Rows for step after step, for ever; the first `skip` steps are passed over."""
        sequences = {
            name: stream.shuffled(np.random.default_rng([*self.seed, *name.encode()]))
            for name, stream in self.streams.items()
        }
        done, shard = 0, 0
        while True:
            rows = self._shard(sequences)
            order = np.random.default_rng([*self.seed, shard]).permutation(len(rows))
            for start in range(0, max(1, len(rows) // self.rows_per_step) * self.rows_per_step, self.rows_per_step):
                done += 1
                if done > skip:
                    yield rows.take(order[np.arange(start, start + self.rows_per_step) % len(rows)])
            shard += 1

    def _shard(self, sequences: dict[str, Iterator[int]]) -> Rows:
        documents: list[Document] = []
        for name, weight in self.weights.items():
            stream, left = self.streams[name], weight * self.shard_tokens
            while left > 0:
                document = stream.document(next(sequences[name]))
                documents.append(document)
                left -= len(document.token_ids)
                self.num_documents[name] += 1
        return pack(documents, self.context_tokens, self.pad_token_id)
