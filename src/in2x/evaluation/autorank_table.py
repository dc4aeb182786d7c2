"""The command `in2x rank`: read scores, rank each pair, print the tables, write the JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from in2x import artifacts
from in2x.artifacts import In2xError

if TYPE_CHECKING:
    from rich.table import Table

    from in2x.evaluation.autorank_files import Row
    from in2x.evaluation.autorank_report import Ranking
    from in2x.evaluation.stability import Placing, View


FEW_DOCUMENTS = 10
WIDE = 100_000
Column = tuple[str, list[str]]  # head, one cell a system in the order of the ranking


def rank_command(
    scores: Sequence[Path],
    pair: str | None = None,
    json_out: Path | None = None,
    stability: bool = True,
    num_resamples: int = 2000,
    seed: int = 12345,
    *,
    insert: Sequence[Path] = (),
    rescale: bool = False,
    metrics: Sequence[str] = (),
    among: Sequence[str] = (),
    tracks: Path | None = None,
) -> None:
    """Rank the systems in the files of scores by AutoRank, pair by pair, and print how sure each rank is.

    `insert` holds systems of one's own. They are put on the scale of the pool, which stays as it is; with `rescale`
    they take part in median, percentile, extremes and N like any other system, as all systems of WMT25 did.
    `metrics` count in place of WMT25's choice for the pair; `among` names systems to give a rank of their own. The
    unconstrained and the constrained systems get theirs by WMT's metadata: of the file `tracks`, or what is known of
    WMT25's own pools.

    Raises:
        In2xError: see `autorank_files`; no such pair; `num_resamples` below 1.
    """
    from in2x.evaluation import autorank_report, autorank_tracks
    from in2x.evaluation.autorank_files import pools, read_rows

    if stability and num_resamples < 1:
        raise In2xError(f"resamples: expected at least 1, got {num_resamples}; to do without, say --no-stability")
    own_rows = [row for path in insert for row in read_rows(path, inserted=not rescale)]
    rows = _of_pair([row for path in scores for row in read_rows(path)] + own_rows, pair)
    rankings = {}
    for name, pool in pools(rows, metrics or None).items():
        own = {row.system for row in own_rows if row.pair == name}
        groups = autorank_tracks.track_groups(pool, tracks) if tracks else autorank_tracks.known_tracks(pool, own)
        if among:
            groups["chosen"] = autorank_tracks.chosen_group(pool, among)
        draws = num_resamples if stability else 0
        rankings[name] = autorank_report.rank_pool(pool, groups, own, draws, seed)
    for ranking in rankings.values():
        print_ranking(ranking)
    if json_out:
        artifacts.write_json(json_out, {name: autorank_report.to_json(item) for name, item in rankings.items()})
        print(json_out)


def print_ranking(ranking: Ranking) -> None:
    """Print the tables of one pair, complete; on a terminal, columns that don't fit beside each other go below."""
    from rich.console import Console

    width = Console().width if sys.stdout.isatty() else WIDE
    console = Console(markup=False, highlight=False, emoji=False, width=WIDE)
    for line in headlines(ranking):
        console.print(line)
    for columns in [rank_columns(ranking)] + ([condition_columns(ranking)] if ranking.subsets else []):
        for table in tables(ranking, columns, width):
            console.print("", table, sep="\n")
    for name, view in ranking.domains.items():
        if view is None or view.num_documents < FEW_DOCUMENTS:
            console.print(f"{name}: {_few(view)}")


def headlines(ranking: Ranking) -> list[str]:
    """Say what was ranked, who is first with what probability, and where one's own systems stand."""
    pool, overall = ranking.pool, ranking.overall
    num_missing = int((pool.scores_MSN != pool.scores_MSN).sum())
    lines = [
        f"{pool.pair}: pool {ranking.hash} of {len(pool.pool)} systems, {overall.num_documents} documents, "
        f"{overall.num_segments} segments; {num_missing:,} missing scores left out",
        f"metrics: {', '.join(pool.metrics)} ({pool.rule})",
    ]
    if ranking.subsets:
        lines.append(
            f"stability: {overall.num_resamples:,} resamples of whole documents, seed {ranking.seed}; intervals of 95 %"
        )
    else:
        lines.append("stability: not asked for; whether a rank would hold on other documents is not known")
    lines += [_first(ranking, name) for name in ranking.groups]
    lines += [_own(ranking, position) for position in ranking.order if pool.systems[position] in ranking.own]
    return lines


def rank_columns(ranking: Ranking) -> list[Column]:
    """Return AutoRank, ranks and metric means as columns; intervals and probabilities where there are resamples."""
    from in2x.evaluation.autorank import printed_digits
    from in2x.evaluation.autorank_report import WHOLE

    overall, order = ranking.overall, ranking.order
    columns = [("AutoRank", [f"{overall.autorank_S[position]:.1f}" for position in order])]
    if ranking.subsets:
        placing = overall.placings[WHOLE]
        columns += [
            ("95 %", [f"{overall.low_S[position]:.1f} - {overall.high_S[position]:.1f}" for position in order]),
            ("rank 95 %", [f"{placing.low_S[position]} - {placing.high_S[position]}" for position in order]),
            ("P(rank)", [_percent(placing.rank_probability_S[position]) for position in order]),
            ("P(first)", [_percent(placing.first_probability_S[position]) for position in order]),
        ]
    for name, members in ranking.groups.items():
        if name != WHOLE:
            placed = {*members} | {p for p in order if ranking.pool.systems[p] in ranking.own}
            placing = overall.placings[name]
            cells = [_rank(placing, position, always=True) if position in placed else "" for position in order]
            columns.append((f"of {len(members)}\n{name}", cells))
    for metric, means_S in zip(ranking.pool.metrics, ranking.means_MS, strict=True):
        columns.append((metric, [f"{means_S[position]:.{printed_digits(metric)}f}" for position in order]))
    return columns


def condition_columns(ranking: Ranking) -> list[Column]:
    """Return the ranks without each metric and within each domain, and how often half the pool gives the same rank."""
    from in2x.evaluation.autorank_report import WHOLE

    views = {f"without\n{name}": view for name, view in ranking.without.items()}
    for name, view in ranking.domains.items():
        if view:
            views[f"{name}: {view.num_documents} doc.\n{view.num_segments} segm."] = view
    columns = [(head, [_rank(view.placings[WHOLE], p) for p in ranking.order]) for head, view in views.items()]
    same = [_percent(ranking.subsets.same_rank_S[position]) for position in ranking.order]
    return [*columns, (f"same rank in\n{ranking.subsets.num_kept} of the pool", same)]


def tables(ranking: Ranking, columns: Sequence[Column], width: int) -> Iterator[Table]:
    """Lay columns out in tables no wider than `width` where they can be; rank and system begin each of them."""
    from in2x.evaluation.autorank_report import WHOLE

    rank = ("rank", [str(ranking.overall.placings[WHOLE].rank_S[position]) for position in ranking.order])
    keys = [rank, ("system", [_name(ranking, position) for position in ranking.order])]
    taken: list[Column] = []
    for column in columns:
        if taken and sum(map(_width, [*keys, *taken, column])) > width:
            yield _table([*keys, *taken])
            taken = []
        taken.append(column)
    yield _table([*keys, *taken])


def _of_pair(rows: list[Row], pair: str | None) -> list[Row]:
    """Keep the rows of one pair; "en-ja" stands for "en-ja_JP" where no other pair begins so."""
    if pair is None:
        return rows
    pairs = sorted({row.pair for row in rows})
    found = [name for name in pairs if name == pair] or [name for name in pairs if name.startswith(f"{pair}_")]
    if len(found) != 1:
        raise In2xError(f"pair {pair}: the files hold {', '.join(pairs)}")
    return [row for row in rows if row.pair == found[0]]


def _first(ranking: Ranking, group: str) -> str:
    """Name the first of a group with the share of resamples in which it is first, and the metric it depends on most."""
    placing, members = ranking.overall.placings[group], ranking.groups[group]
    winners = []
    for position in members:
        if placing.rank_S[position] == 1:
            sure = "" if placing.first_probability_S is None else _percent(placing.first_probability_S[position])
            told = f"in {sure} of the resamples{_fragile(ranking, group, position)}" if sure else "by these documents"
            winners.append(f"{ranking.pool.systems[position]} {told}")
    unsure = "" if ranking.subsets else "; how probably is not known"
    return f"first of {len(members)} in {group}: {', '.join(winners)}{unsure}"


def _fragile(ranking: Ranking, group: str, position: int) -> str:
    """Say by which metric's absence the first of a group falls furthest, in the group and in the pool."""
    from in2x.evaluation.autorank_report import WHOLE

    fallen = {
        metric: tuple(int(view.placings[name].rank_S[position]) for name in (group, WHOLE))
        for metric, view in ranking.without.items()
    }
    metric = max(fallen, key=lambda name: fallen[name], default=None)
    if metric is None or fallen[metric][0] == 1:
        return ""
    in_pool = "" if group == WHOLE else f", {fallen[metric][1]} of {len(ranking.pool.pool)} in {WHOLE}"
    return f" (without {metric} {fallen[metric][0]} of {len(ranking.groups[group])}{in_pool})"


def _own(ranking: Ranking, position: int) -> str:
    from in2x.evaluation.autorank_report import WHOLE

    value = f"{ranking.pool.systems[position]}*: AutoRank {ranking.overall.autorank_S[position]:.1f}"
    ahead = f"{ranking.overall.placings[WHOLE].rank_S[position] - 1} of the pool's {len(ranking.pool.pool)} ahead of it"
    if ranking.pool.in_pool_S[position]:
        return f"{value}, {ahead}; it is part of the pool and moves the others' numbers, as in WMT25"
    return f"{value}, {ahead}; inserted into the frozen pool, whose numbers it does not move"


def _few(view: View | None) -> str:
    if view is None:
        return "not ranked, some system has no score of a metric there"
    return f"{view.num_documents} documents are too few for resamples of them to say how sure a rank is"


def _table(columns: Sequence[Column]) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for head, _ in columns:
        table.add_column(head, justify="left" if head == "system" else "right", no_wrap=True)
    for cells in zip(*[cells for _, cells in columns], strict=True):
        table.add_row(*cells)
    return table


def _width(column: Column) -> int:
    from rich.cells import cell_len

    return 1 + max(map(cell_len, [*column[0].split("\n"), *column[1]]))


def _name(ranking: Ranking, position: int) -> str:
    name = ranking.pool.systems[position]
    return f"{name}*" if name in ranking.own else name


def _rank(placing: Placing, position: int, always: bool = False) -> str:
    """Write a rank; a first one, or `always`, with its share of the resamples."""
    rank = placing.rank_S[position]
    if placing.rank_probability_S is None or (rank > 1 and not always):
        return str(rank)
    return f"{rank} ({_percent(placing.rank_probability_S[position])})"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
