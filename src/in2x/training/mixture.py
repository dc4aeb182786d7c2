"""A phase's mixture: documents drawn from weighted streams, packed shard by shard, the same for the same seed.

A shard is what is packed at once; memory holds one. Every stream is walked epoch by epoch, so no document is seen a
second time before the others of its stream have been seen once. Only the position in the streams passes from shard to
shard: from it an interrupted phase continues, with the rows that it would have had. Rows that don't fill a step at the
end of a shard are left out.

With `max_epochs`, a stream that has been walked so often gives no more; the others share what it would have given.
"""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from in2x.artifacts import In2xError
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
        max_epochs: float | None = None,
    ):
        if not weights:
            raise ValueError("a mixture without streams can't be drawn from")
        self.streams, self.pad_token_id, self.context_tokens = streams, pad_token_id, context_tokens
        total = sum(weights.values())
        self.weights = {name: weight / total for name, weight in weights.items()}
        self.rows_per_step, self.seed = rows_per_step, seed
        self.shard_tokens = min(num_tokens, SHARD_TOKENS)
        self.num_documents = dict.fromkeys(weights, 0)
        self.position: dict = {}
        self.most_documents = {
            name: float("inf") if max_epochs is None else max(1, round(max_epochs * len(streams[name].ids)))
            for name in weights
        }

    def epochs(self) -> dict[str, float]:
        """How often each stream has been walked so far."""
        return {name: number / len(self.streams[name].ids) for name, number in self.num_documents.items()}

    def steps(self, skip: int = 0, position: Mapping | None = None) -> Iterator[Rows]:
        """Rows for step after step, for ever; the first `skip` steps are passed over. In step with other processes.

        `self.position` is where the shard in hand begins. Given back, nothing before it is read again.
        """
        start = position or {"shard": 0, "step": 0, "num_documents": self.num_documents}
        self.num_documents = dict(start["num_documents"])
        walks = {
            name: stream.walk(np.random.default_rng([*self.seed, *name.encode()]), self.num_documents[name])
            for name, stream in self.streams.items()
        }
        done = start["step"]
        for shard in itertools.count(start["shard"]):
            self.position = {"shard": shard, "step": done, "num_documents": dict(self.num_documents)}
            rows = self._shard(walks)
            order = np.random.default_rng([*self.seed, shard]).permutation(len(rows))
            for first in range(0, max(1, len(rows) // self.rows_per_step) * self.rows_per_step, self.rows_per_step):
                done += 1
                if done > skip:
                    yield rows.take(order[np.arange(first, first + self.rows_per_step) % len(rows)])

    def _shard(self, walks: dict[str, Iterator[Document]]) -> Rows:
        documents: list[Document] = []
        wanted = {name: weight * self.shard_tokens for name, weight in self.weights.items()}
        while wanted:
            missing = 0.0
            for name, num_tokens in wanted.items():
                found, left = self._draw(name, num_tokens, walks[name])
                documents += found
                missing += max(0.0, left)
            wanted = self._others(missing, bool(documents)) if missing else {}
        rows = pack(documents, self.context_tokens, self.pad_token_id)
        if not len(rows):
            raise In2xError(
                f"the streams {', '.join(self.weights)} hold no document of two tokens or more, so there is nothing to "
                "predict: look at the corpus"
            )
        return rows

    def _draw(self, name: str, num_tokens: float, walk: Iterator[Document]) -> tuple[list[Document], float]:
        """Documents of a stream with at least these tokens, and how many are missing where it is exhausted."""
        documents = []
        while num_tokens > 0 and self.num_documents[name] < self.most_documents[name]:
            documents.append(next(walk))
            num_tokens -= len(documents[-1].token_ids)
            self.num_documents[name] += 1
        return documents, num_tokens

    def _others(self, missing: float, has_some: bool) -> dict[str, float]:
        """The missing tokens, spread over the streams that are not exhausted; the last shard may be smaller."""
        left = {
            name: weight
            for name, weight in self.weights.items()
            if self.num_documents[name] < self.most_documents[name]
        }
        if not left and not has_some:
            drawn = ", ".join(f"{name} {number:,} documents" for name, number in self.num_documents.items())
            raise In2xError(
                f"every stream is exhausted before the phase has its tokens: {drawn} were drawn, max_epochs of "
                "each; lower the phase's `tokens`, raise `max_epochs`, or add text"
            )
        total = sum(left.values())
        return {name: missing * weight / total for name, weight in left.items()}
