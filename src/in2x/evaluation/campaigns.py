"""Human evaluation with Pearmut (arXiv 2601.02933): blind campaigns out of a segment store, judgements back into it.

Protocols:
    esa   error spans and a score from 0 to 100 (Kocmi et al. 2024), one system's translation at a time
    ab    two translations of a document side by side, each scored from 0 to 100: the better one is preferred

Systems carry labels that say nothing ("T3"); which is which stands in a key file that stays with the organiser.
Nobody judges a document twice in esa, so no annotator sees two systems' versions of one text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from in2x.artifacts import In2xError, read_json, write_json
from in2x.evaluation import store
from in2x.evaluation.store_checks import Problem, refuse

PROTOCOLS = ("esa", "ab")
NOT_TASKS = ("welcome_", "random_", "goodbye_")  # tutorials, attention checks and forms of Pearmut
INSTRUCTIONS = {
    "esa": "Mark the errors of the translation from {source} into {target}, then score it from 0 (nothing of the "
    "meaning is kept) to 100 (perfect meaning, and reads as if written in {target}).",
    "ab": "Two translations from {source} into {target}. Score each from 0 to 100; give the better one the higher "
    "score, and both the same score if neither is better.",
}


@dataclass(frozen=True)
class Unit:
    """What is judged in one go: a document as translated by one system (esa) or by two (ab)."""

    document: str
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Judgement:
    """One annotator's score of one segment's translation."""

    segment: str
    system: str
    annotator: str
    score: float


def build_campaign(
    frame: pl.DataFrame,
    protocol: str,
    *,
    campaign_id: str,
    num_annotators: int,
    overlap: int = 1,
    baseline: str | None = None,
    num_documents: int | None = None,
    seed: int = 0,
) -> tuple[dict, dict]:
    """A Pearmut campaign of task-based assignment, and its key (label -> system).

    Every unit is judged by `overlap` annotators. In ab every system is set against `baseline`.

    Raises:
        In2xError: several pairs, too few systems or annotators, or a baseline that is not there.
    """
    pair, systems = _one_pair(frame), store.systems(frame)
    _check(protocol, systems, num_annotators, overlap, baseline)
    rng = np.random.default_rng(seed)
    labels = dict(zip(systems, (f"T{1 + place}" for place in rng.permutation(len(systems))), strict=True))
    texts = _documents(frame, labels)
    chosen = [name for name in texts]
    if num_documents and num_documents < len(chosen):
        chosen = [chosen[place] for place in np.sort(rng.choice(len(chosen), num_documents, replace=False))]
    units = _units(chosen, labels, protocol, baseline)
    shuffled = [units[place] for place in rng.permutation(len(units))]
    tasks = [
        [task[place] for place in rng.permutation(len(task))]
        for task in _assign(shuffled, num_annotators, overlap, protocol)
    ]
    source, target = store.languages(pair)
    campaign = {
        "info": {
            "assignment": "task-based",
            "protocol": "ESA" if protocol == "esa" else "DA",
            "instructions": INSTRUCTIONS[protocol].format(source=source, target=target),
            "shuffle": True,
            "show_model_names": False,
        },
        "campaign_id": campaign_id,
        "data": [[_items(texts[unit.document], unit) for unit in task] for task in tasks],
    }
    key = {"campaign_id": campaign_id, "protocol": protocol, "pair": pair, "baseline": baseline}
    return campaign, key | {"systems": {label: system for system, label in labels.items()}}


def read_judgements(path: Path, key: dict) -> list[Judgement]:
    """Judgements from Pearmut's log (JSON lines, or the JSON that its dashboard gives); the last word of each counts.

    Raises:
        In2xError: a line that is no annotation of this campaign.
    """
    last: dict[tuple[str, str, str], float] = {}
    for place, entry in _entries(path):
        if str(entry.get("item_i", "")).startswith(NOT_TASKS):
            continue
        try:
            for segment, unit, label, score in _scores(entry):
                if label not in key["systems"]:
                    raise In2xError(f"{path}: entry {place}: the label {label!r} is not in the key of campaign "
                                    f"{key['campaign_id']!r}; give the key file of these annotations")  # fmt: skip
                last[segment, key["systems"][label], f"{entry['user_id']} {unit}"] = score
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise In2xError(f"{path}: entry {place} is no annotation of Pearmut ({type(error).__name__}: {error}); "
                            "expected item, annotation and user_id") from None  # fmt: skip
    return [Judgement(segment, system, annotator, score) for (segment, system, annotator), score in last.items()]


def add_judgements(frame: pl.DataFrame, judgements: Sequence[Judgement], protocol: str) -> pl.DataFrame:
    """The store with `score.human-esa` or `score.human-ab`: the mean over annotators, null where nobody judged.

    Raises:
        In2xError: a judged segment or system is not in the store.
    """
    known = set(frame.select("segment", "system").iter_rows())
    scores: dict[tuple[str, str], list[float]] = {}
    for judgement in judgements:
        place = (judgement.segment, judgement.system)
        if place not in known:
            raise In2xError(f"segment {place[0]!r} of system {place[1]!r} was judged, but the store does not have it; "
                            "give the store that the campaign was made from")  # fmt: skip
        scores.setdefault(place, []).append(judgement.score)
    values = [scores.get(place) for place in frame.select("segment", "system").iter_rows()]
    means = [None if given is None else float(np.mean(given)) for given in values]
    return store.add_scores(frame, f"human-{protocol}", means, replace=True)


def preferences(judgements: Sequence[Judgement], baseline: str) -> dict[str, dict]:
    """By system, how often it was preferred to the baseline: wins, losses, ties, and the two-sided sign test.

    Scores of one annotator for one segment in one unit are compared; ties are left out of the test.
    """
    from scipy.stats import binomtest

    by_place: dict[tuple[str, str], dict[str, float]] = {}
    for judgement in judgements:
        by_place.setdefault((judgement.segment, judgement.annotator), {})[judgement.system] = judgement.score
    counts: dict[str, list[int]] = {}
    for scores in by_place.values():
        for system in scores.keys() - {baseline}:
            if baseline in scores:
                difference = np.sign(scores[system] - scores[baseline])
                counts.setdefault(system, [0, 0, 0])[{1: 0, -1: 1, 0: 2}[int(difference)]] += 1
    return {
        system: {"wins": wins, "losses": losses, "ties": ties,
                 "p_value": float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0}
        for system, (wins, losses, ties) in sorted(counts.items())
    }  # fmt: skip


def export_campaign(store_path: Path, out: Path, protocol: str, **options) -> dict:
    """Write the campaign to `out` and its key beside it (`<name>.key.json`); returns the counts."""
    campaign, key = build_campaign(store.read_store(store_path), protocol, campaign_id=out.stem, **options)
    write_json(out, campaign)
    write_json(key_file(out), key)
    units = [unit for task in campaign["data"] for unit in task]
    return {"annotators": len(campaign["data"]), "units": len(units), "items": sum(map(len, units)),
            "most items of an annotator": max(sum(map(len, task)) for task in campaign["data"])}  # fmt: skip


def import_campaign(store_path: Path, annotations: Path, key_path: Path, out: Path) -> tuple[pl.DataFrame, dict]:
    """Write the store with the judgements to `out`; returns it, and the preferences of an ab campaign."""
    key = read_json(key_path)
    judgements = read_judgements(annotations, key)
    if not judgements:
        raise In2xError(f"{annotations}: no scores of campaign {key['campaign_id']!r}")
    frame = add_judgements(store.read_store(store_path), judgements, key["protocol"])
    store.write_store(frame, out)
    return frame, preferences(judgements, key["baseline"]) if key["protocol"] == "ab" else {}


def key_file(campaign: Path) -> Path:
    return campaign.with_name(f"{campaign.stem}.key.json")


# --- building ---------------------------------------------------------------------------------------------------


def _one_pair(frame: pl.DataFrame) -> str:
    pairs = frame["pair"].unique(maintain_order=True).to_list()
    if len(pairs) != 1:
        raise In2xError(f"a campaign is for one pair of languages, and the store has {', '.join(pairs)}")
    return pairs[0]


def _check(protocol: str, systems: list[str], num_annotators: int, overlap: int, baseline: str | None) -> None:
    if protocol not in PROTOCOLS:
        raise In2xError(f"protocol {protocol!r}: there are {', '.join(PROTOCOLS)}")
    if not 1 <= overlap <= num_annotators:
        raise In2xError(f"{num_annotators} annotators can't give {overlap} judgements of each text: "
                        "overlap lies between 1 and the number of annotators")  # fmt: skip
    if protocol == "ab" and (baseline not in systems or len(systems) < 2):
        raise In2xError(f"an ab campaign needs a baseline and another system; the store has {', '.join(systems)}")
    if protocol == "esa" and num_annotators < overlap * len(systems):
        raise In2xError(
            f"{len(systems)} systems with {overlap} judgements each need {overlap * len(systems)} annotators, for "
            f"nobody may judge two versions of a document; there are {num_annotators}"
        )


def _documents(frame: pl.DataFrame, labels: dict[str, str]) -> dict[str, list[dict]]:
    """Document -> its segments in order: segment, source and label -> hypothesis. Segments alone are documents."""
    named = frame.with_columns(name=pl.coalesce("document", pl.format("segment {}", "segment")))
    found: dict[str, dict[str, dict]] = {}
    for row in named.iter_rows(named=True):
        segments = found.setdefault(row["name"], {})
        entry = segments.setdefault(row["segment"], {"segment": row["segment"], "source": row["source"], "texts": {}})
        entry["texts"][labels[row["system"]]] = row["hypothesis"]
    return {name: list(segments.values()) for name, segments in found.items()}


def _units(documents: list[str], labels: dict[str, str], protocol: str, baseline: str | None) -> list[Unit]:
    if protocol == "esa":
        return [Unit(document, (label,)) for document in documents for label in sorted(labels.values())]
    others = sorted(label for system, label in labels.items() if system != baseline)
    return [Unit(document, (labels[baseline], label)) for document in documents for label in others]


def _assign(units: list[Unit], num_annotators: int, overlap: int, protocol: str) -> list[list[Unit]]:
    """Give each unit to the `overlap` annotators with the least work that know neither it nor, in esa, its document."""
    tasks: list[list[Unit]] = [[] for _ in range(num_annotators)]
    for unit in sorted(units, key=lambda unit: unit.document):  # a document's versions in turn, so that all find takers
        seen = [any(_same(unit, other, protocol) for other in task) for task in tasks]
        free = sorted((len(task), number) for number, task in enumerate(tasks) if not seen[number])
        for _, number in free[:overlap]:
            tasks[number].append(unit)
    return tasks


def _same(unit: Unit, other: Unit, protocol: str) -> bool:
    return unit.document == other.document and (protocol == "esa" or unit.labels == other.labels)


def _items(segments: list[dict], unit: Unit) -> list[dict]:
    group = "-".join(unit.labels)
    return [
        {
            "src": entry["source"],
            "tgt": {label: entry["texts"][label] for label in unit.labels},
            "item_id": f"{entry['segment']}#{group}",
        }
        for entry in segments
    ]


# --- reading ----------------------------------------------------------------------------------------------------


def _scores(entry: dict) -> Iterator[tuple[str, str, str, float]]:
    """Segment, unit, label and score of everything that one entry of the log scores."""
    for item, annotation in zip(entry["item"], entry["annotation"], strict=True):
        segment, unit = item["item_id"].rsplit("#", 1)
        for label, given in (annotation or {}).items():
            if given.get("score") is not None:
                yield segment, unit, label, float(given["score"])


def _entries(path: Path) -> Iterator[tuple[int, dict]]:
    """The annotations with their places: of JSON lines, of a list, or of an object of lists by campaign."""
    if path.suffix == ".jsonl":
        problems: list[Problem] = []
        yield from store.json_rows(path, problems)
        refuse(path, problems, "line")
        return
    value = read_json(path)
    lists = value.values() if isinstance(value, dict) else [value]
    yield from enumerate((entry for entries in lists for entry in entries), 1)
