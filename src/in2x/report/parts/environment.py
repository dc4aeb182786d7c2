"""What the run cost and ran on, and what it takes to run it again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from in2x.report.folders import Run, Stage
from in2x.report.markup import Html, duration, element, facts, fixed, fold, join, moment, note, size, table


def cost(run: Run) -> Html:
    ran = [stage for stage in run if stage.has_run]
    if not ran:
        return element("p", "Not run.", class_="absent")
    hours = [_cpu_hours(stage) for stage in ran]
    peak = max((stage.manifest.get("peak_memory_bytes") or 0 for stage in ran), default=0)
    figures = [
        ("wall-clock time", duration(sum(stage.seconds for stage in ran))),
        ("CPU-hours", fixed(sum(hours), 2)),
        ("peak memory", size(peak)),
    ]
    head = ["Stage", "Status", "Started (UTC)", "Time", "Threads", "CPU-hours", "Peak memory"]
    rows = [_cost_row(stage, spent) for stage, spent in zip(ran, hours, strict=True)]
    return join([
        facts(figures),
        table(head, rows, (3, 4, 5, 6), "Cost by stage"),
        note("CPU-hours: wall-clock time by the threads the stage was allowed, an upper bound."),
        _machines(ran),
        _versions(ran),
    ])  # fmt: skip


def _threads(stage: Stage) -> int:
    machine = stage.mapping("machine")
    return int(machine.get("num_threads") or machine.get("num_cores") or 1)


def _cpu_hours(stage: Stage) -> float:
    return stage.seconds * _threads(stage) / 3600


def _cost_row(stage: Stage, hours: float) -> list[Any]:
    started, peak = moment(stage.manifest.get("started_at")), size(stage.manifest.get("peak_memory_bytes"))
    name = element("strong", stage.name)
    return [name, stage.status, started, duration(stage.seconds), _threads(stage), fixed(hours, 2), peak]


def _machines(ran: list[Stage]) -> Html | None:
    found: dict[str, list[str]] = {}
    for stage in ran:
        machine = stage.mapping("machine")
        if machine:
            cores, memory = machine.get("num_cores", "?"), size(machine.get("memory_bytes"))
            found.setdefault(f"{machine.get('cpu', 'unknown')}, {cores} cores, {memory}", []).append(stage.name)
    rows = [[name, ", ".join(stages)] for name, stages in found.items()]
    return table(["Machine", "Stages"], rows, (), "Machines") if rows else None


def _versions(ran: list[Stage]) -> Html | None:
    """Show each package's version; where stages ran under different ones, all of them."""
    found: dict[str, dict[str, list[str]]] = {}
    for stage in ran:
        for package, version in stage.mapping("versions").items():
            found.setdefault(package, {}).setdefault(str(version), []).append(stage.name)
    rows = [
        [package, ", ".join(f"{v} ({', '.join(s)})" if len(by) > 1 else v for v, s in by.items())]
        for package, by in sorted(found.items())
    ]
    return (
        fold(f"Versions of {len(rows)} packages", table(["Package", "Version"], rows, (), "Versions")) if rows else None
    )


def reproduce(run: Run) -> Html:
    ran = [stage for stage in run if stage.has_run]
    if not ran:
        return element("p", "Not run.", class_="absent")
    told = (
        "Each block is a stage's section with every default written out; together they are the recipe. "
        "A stage whose fingerprint is unchanged is not run again."
    )
    commits = dict.fromkeys(str(stage.manifest["git_commit"]) for stage in ran if stage.manifest.get("git_commit"))
    commit = facts([("commit", element("code", ", ".join(commits)))]) if commits else None
    return join([note(told), commit, *(_config(stage) for stage in ran)])


def _config(stage: Stage) -> Html:
    inputs = ", ".join(f"{name} {print_}" for name, print_ in stage.mapping("inputs").items())
    figures = [
        ("fingerprint", element("code", stage.manifest.get("fingerprint", ""))),
        ("inputs", element("code", inputs or "none")),
        ("seed", stage.manifest.get("seed", "")),
    ]
    written = element("pre", element("code", toml(stage.name, stage.section)), tabindex="0")
    return fold(element("code", f"[{stage.name}]"), facts(figures), written)


def toml(name: str, section: Mapping[str, Any]) -> str:
    """Return a section as it would stand in a recipe; an unset value is a comment, as TOML has no null."""
    plain = {key: value for key, value in section.items() if not _is_table(value)}
    lines = [f"[{name}]", *(_assignment(key, value) for key, value in plain.items())]
    for key, value in section.items():
        path = f"{name}.{_key(key)}"
        if isinstance(value, Mapping):
            lines += ["", toml(path, value)]
        elif _is_table(value):
            lines += [line for row in value for line in ("", toml(path, row).replace(f"[{path}]", f"[[{path}]]", 1))]
    return "\n".join(lines)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)
    )


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _assignment(key: str, value: Any) -> str:
    return f"# {_key(key)} is not set" if value is None else f"{_key(key)} = {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(_value(entry) for entry in value if entry is not None)}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
