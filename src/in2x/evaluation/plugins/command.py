"""What `in2x score --plugin` does: a neural metric's scores for the rows of a segment store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError
from in2x.evaluation import store
from in2x.evaluation.plugins.host import PluginScores, Row, score_rows
from in2x.evaluation.store_checks import PREFIX


def plugin_command(
    store_path: Path,
    out: Path,
    metric: str,
    *,
    python: Path,
    model: str,
    name: str | None = None,
    systems: Sequence[str] = (),
    batch_size: int = 16,
    cache: Path | None = None,
    roles: Mapping[str, Mapping[str, str]] | None = None,
) -> PluginScores:
    """Write the store with `score.<name>`, by default <metric>-<model>; rows of other systems keep what they have.

    The first reference of a segment is the one that is read. `roles` (metric -> system -> role) are kept in the store.

    Raises:
        In2xError: a bad store, an unknown system, or what `score_rows` refuses.
    """
    from in2x.training.metrics import progress_bar

    frame = store.mark_roles(store.read_store(store_path), roles or {})
    unknown = [system for system in systems if system not in store.systems(frame)]
    if unknown:
        raise In2xError(f"{store_path}: no system {unknown[0]!r}; there are {', '.join(store.systems(frame))}")
    name = name or f"{Path(metric).stem}-{Path(model).name}"
    chosen = frame["system"].is_in(list(systems)) if systems else pl.Series([True] * len(frame))
    rows = [
        Row(row["source"], row["hypothesis"], row["references"][0] if row["references"] else "")
        for row in frame.filter(chosen).iter_rows(named=True)
    ]
    with progress_bar(name, len(set(rows))) as bar:
        found = score_rows(
            metric, rows, python=python, model=model, batch_size=batch_size, cache=cache, advance=bar.advance
        )
    before = frame.get_column(PREFIX + name, default=None)
    values = [None] * len(frame) if before is None else before.to_list()
    for place, value in zip(chosen.arg_true(), found.values, strict=True):
        values[place] = value
    store.write_store(store.add_scores(frame, name, values, replace=True), out)
    return found
