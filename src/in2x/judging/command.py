"""Judge the rows of a segment store and write it with the scores: what `in2x judge` does.

Beside the store `out`, `<out>.judge.jsonl` has every verdict with its spans or answers and the raw text, and
`<out>.judge.json` the summary with the signature. Interrupted or refused, the same command goes on from the cache.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Literal

from in2x.artifacts import In2xError, atomic, write_json
from in2x.judging.cache import AnswerCache, default_path
from in2x.judging.client import JudgeClient, read_api_key
from in2x.judging.runs import RUNS, Outcome, Settings
from in2x.judging.segments import check_failing, default_gate, no_gate
from in2x.judging.transport import Server, endpoint_url

Protocol = Literal["esa", "rubric", "pairwise"]


def judge_command(
    store_path: Path,
    out: Path,
    endpoint: str,
    model: str,
    protocol: Protocol,
    *,
    metric: str | None = None,
    systems: Sequence[str] = (),
    settings: Settings | None = None,
    gate: bool = True,
    api_key_variable: str | None = None,
    api_key_file: Path | None = None,
    concurrency: int = 8,
    timeout_seconds: float = 120.0,
    max_retries: int = 6,
    parameters: Mapping[str, object] | None = None,
    cache_path: Path | None = None,
    roles: Mapping[str, Mapping[str, str]] | None = None,
) -> dict:
    """Judge the rows of `systems` (default: all) and write the store with `score.<metric>`; returns the summary.

    `metric` is by default judge-<protocol>. Rows of other systems keep the scores that they have. `roles`, metric ->
    system -> "reward" or "selector", are kept in the store: a judge that rewarded a system is no judge of it.

    Raises:
        In2xError: a bad store, option or endpoint; too large a share of answers that can't be read. Nothing is written.
    """
    from in2x.evaluation.store import add_scores, mark_roles, read_store, write_store

    settings = settings or Settings()
    settings = replace(settings, anchors=tuple(dict.fromkeys(settings.anchors)))
    metric = metric or f"judge-{protocol}{'-groupwise' if settings.groupwise else ''}"
    _check_options(protocol, settings, out)
    frame = mark_roles(read_store(store_path), roles or {})
    chosen = _chosen(frame["system"].to_list(), systems, settings.anchors, store_path)
    server = Server(endpoint_url(endpoint), read_api_key(api_key_variable, api_key_file), timeout_seconds, max_retries)
    cache = AnswerCache(cache_path or default_path())
    client = JudgeClient(server, model, cache, concurrency, parameters)
    version, run = RUNS[protocol]
    rows = frame[chosen].to_dicts()
    outcome = run(client, rows, settings, default_gate if gate else no_gate)
    check_failing([verdict for _, verdict in outcome.verdicts], settings.max_failing)

    values = frame[f"score.{metric}"].to_list() if f"score.{metric}" in frame.columns else [None] * len(frame)
    for place, score in zip(chosen, outcome.scores, strict=True):
        values[place] = score
    summary = _summary(client, outcome, rows, version, settings, gate) | {"metric": metric, "protocol": protocol}
    write_store(add_scores(frame, metric, values, replace=True), out)
    _write_verdicts(out.with_name(f"{out.name}.judge.jsonl"), outcome)
    write_json(out.with_name(f"{out.name}.judge.json"), summary)
    return summary


def summary_lines(summary: dict) -> list[str]:
    """The summary for a terminal."""
    counts, usage = summary["verdicts"], summary["usage"]
    lines = [
        f"{summary['metric']}: {counts.get('scored', 0):,} scored, {counts.get('gated', 0):,} gated, "
        f"{counts.get('failed', 0):,} failed",
        f"requests: {usage['sent']:,} sent, {usage['cached']:,} from the cache, "
        f"{usage['prompt_tokens']:,} + {usage['completion_tokens']:,} tokens",
    ]
    for pair, found in summary["systems"].items():
        for system, row in found.items():
            mean = "no score" if row["mean"] is None else f"{row['mean']:.3f}"
            lines.append(f"  {pair}  {system}: {mean} over {row['num_scores']:,} of {row['num_segments']:,} segments")
    for pair, found in summary["report"].get("strengths", {}).items():
        for system, row in sorted(found.items(), key=lambda item: -item[1]["strength"]):
            lines.append(f"  {pair}  {system}: strength {row['strength']:+.2f} [{row['low']:+.2f}, {row['high']:+.2f}]")
    bias = {
        name: summary["report"][name] for name in ("position_bias", "first_place_share") if name in summary["report"]
    }
    lines += [f"{name.replace('_', ' ')}: {value:.3f}" for name, value in bias.items() if value is not None]
    if summary["num_corrupt_cache_lines"]:
        lines.append(f"note: {summary['num_corrupt_cache_lines']:,} lines of the cache could not be read")
    return [*lines, summary["signature"]]


def read_parameters(words: Sequence[str]) -> dict[str, object]:
    """Sampling parameters from words such as temperature=0.5, seed=null (leaves it out), reasoning_effort=low.

    Raises:
        In2xError: no "=", or a parameter that the client sets itself.
    """
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.isidentifier() or name in ("model", "messages", "stream", "n"):
            raise In2xError(f"--set {word}: expected a sampling parameter and its value, such as temperature=0.5")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found


def _check_options(protocol: str, settings: Settings, out: Path) -> None:
    if protocol not in RUNS:
        raise In2xError(f"protocol {protocol!r}: expected one of {', '.join(RUNS)}")
    used = {"--groupwise": (settings.groupwise, "rubric"), "--references": (settings.use_references, "esa"),
            "--anchor": (bool(settings.anchors), "pairwise")}  # fmt: skip
    for option, (given, of) in used.items():
        if given and protocol != of:
            raise In2xError(f"{option} is an option of protocol {of}, not of {protocol}")
    if not 0 <= settings.max_failing <= 1:
        raise In2xError(f"--max-failing: expected a share between 0 and 1, got {settings.max_failing}")
    if not out.name.endswith((".parquet", ".jsonl", ".jsonl.gz")):
        raise In2xError(f"{out}: a segment store is named .parquet, .jsonl or .jsonl.gz")


def _chosen(names: list[str], systems: Sequence[str], anchors: Sequence[str], store_path: Path) -> list[int]:
    """Places of the rows to judge."""
    known = dict.fromkeys(names)
    for name in (*systems, *anchors):
        if name not in known:
            raise In2xError(f"{store_path}: no system {name!r}; it has {', '.join(known)}")
    wanted = {*systems, *anchors} if systems else set(known)
    return [place for place, name in enumerate(names) if name in wanted]


def _summary(client: JudgeClient, outcome: Outcome, rows, version: str, settings: Settings, gate: bool) -> dict:
    verdicts = [verdict for _, verdict in outcome.verdicts]
    sampling = ",".join(f"{name}={value}" for name, value in sorted(client.parameters.items()))
    anchors = [f"anchors:{'+'.join(settings.anchors)}"] if settings.anchors else []
    options = [*anchors, f"groupwise:{settings.groupwise}", f"references:{settings.use_references}", f"gate:{gate}"]
    return {
        "signature": "|".join([f"judge:{version}", f"model:{client.model}", *options, sampling]).lower(),
        "prompt_version": version,
        "model": client.model,
        "models_reported": sorted(client.models),
        "endpoint": client.server.url,
        "parameters": client.parameters,
        "settings": asdict(settings),
        "verdicts": dict(Counter(verdict.status for verdict in verdicts)),
        "gate_reasons": dict(
            Counter(verdict.reason.split(":")[0] for verdict in verdicts if verdict.status == "gated")
        ),
        "failures": dict(Counter(verdict.reason for verdict in verdicts if verdict.status == "failed").most_common(10)),
        "usage": asdict(client.usage),
        "num_corrupt_cache_lines": client.cache.num_corrupt,
        "systems": _means(rows, outcome.scores),
        "report": outcome.report,
    }


def _means(rows: Sequence[dict], scores: Sequence[float | None]) -> dict[str, dict[str, dict]]:
    """Per pair and system: the mean over the segments that have a score, and how many have one."""
    by_system: dict[tuple[str, str], list[float | None]] = {}
    for row, score in zip(rows, scores, strict=True):
        by_system.setdefault((row["pair"], row["system"]), []).append(score)
    found: dict[str, dict[str, dict]] = {}
    for (pair, system), values in by_system.items():
        known = [value for value in values if value is not None]
        mean = sum(known) / len(known) if known else None
        found.setdefault(pair, {})[system] = {"mean": mean, "num_scores": len(known), "num_segments": len(values)}
    return found


def _write_verdicts(path: Path, outcome: Outcome) -> None:
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        for about, verdict in outcome.verdicts:
            stream.write(json.dumps(about | asdict(verdict)) + "\n")
