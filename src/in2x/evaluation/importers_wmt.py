"""Segment stores from WMT's files of JSON lines, plain or gzipped; the format is known by the keys (`WMT_FORMATS`).

documents   {"id": "en-ja_JP_#_news_#_bbc.1", "domain", "paras": [...], "hyps": {system: [...]}}; a segment a paragraph
outputs     {"id": "wmt23.en-ja.0", "hyps": {system: text}}, with sources and references in a table beside it
esa         {"id", "doc", "domain", "system", "src", "hyp", "esa": 87.0 or null}; the human score is score.human-esa
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import fmean

import polars as pl

from in2x.artifacts import In2xError
from in2x.evaluation import store, store_checks
from in2x.evaluation.importers import text_lines
from in2x.evaluation.store_checks import Problem

HUMAN_ESA = "human-esa"
PAIR_IN_ID = re.compile(r"(?:^|\.)([a-z]{2,3}-[a-z]{2,3}(?:_\w+?)?)(?:\.|_#_)")  # wmt23.en-ja.0, en-ja_JP_#_news_#_1
Rows = Iterator[tuple[int, dict]]


def import_wmt(
    path: Path,
    *,
    pair: str | None = None,
    segments: Path | None = None,
    scores: Path | None = None,
    note: Callable[[str], None] = store.say,
) -> pl.DataFrame:
    """Import a file of one of the formats above.

    `pair` is read from the ids where it is not given. `segments` is a table (id, doc, domain, src, ref; tab-separated,
    with a header) for the format that has outputs alone; `scores` a file of WMT25's automatic scores
    {system, document_id, metric_scores: {metric: [one per paragraph]}} to add to documents.

    Raises:
        In2xError: another format, or broken records.
    """
    problems: list[Problem] = []
    records = list(store.json_rows(path, problems))
    if not records:
        store_checks.refuse(path, problems, "line")
        raise In2xError(f"{path}: no records; expected JSON lines of WMT")
    keys, read = WMT_FORMATS[_format(path, records[0][1])]
    good = []
    for line, record in records:
        missing = [key for key in keys if key not in record]
        problems += [(line, f"no {key!r}; other lines have one") for key in missing]
        good += [] if missing else [(line, record)]
    rows = list(read(path, good, problems, segments=segments, note=note))
    for line, row in rows:
        row["pair"] = pair or row["pair"]
        if row["pair"] is None:
            raise In2xError(f"{path}: line {line}: no languages in the id {row['segment']!r}; say which pair it is")
    frame = store.from_rows(rows, path, problems=problems)
    return _with_automatic_scores(frame, scores, note) if scores else frame


def _format(path: Path, record: dict) -> str:
    found = next((name for name, (keys, _) in WMT_FORMATS.items() if set(keys) <= set(record)), None)
    if found is None:
        known = "; ".join(f"{name}: {', '.join(keys)}" for name, (keys, _) in WMT_FORMATS.items())
        raise In2xError(f"{path}: records with {', '.join(record)}, which is no format known here. Known are {known}")
    return found


def _read_documents(path: Path, records, problems: list[Problem], **_) -> Rows:
    """A paragraph is a segment; "en-ja_JP_#_speech_#_vid_Q5" is document Q5, as WMT's automatic scores call it."""
    for line, record in records:
        paragraphs, hypotheses = record["paras"], record["hyps"]
        if not _are_texts(paragraphs) or not isinstance(hypotheses, dict):
            problems.append((line, "expected a list of texts in 'paras', and an object of systems in 'hyps'"))
            continue
        document = str(record["id"]).split("_#_")[-1].removeprefix("vid_")
        for system, texts in hypotheses.items():
            if not isinstance(texts, list) or len(texts) != len(paragraphs):
                got = f"{len(texts)} paragraphs" if isinstance(texts, list) else f"{texts!r:.40}"
                problems.append((line, f"{system}: {got}, the source has {len(paragraphs)}"))
                continue
            for n, (source, hypothesis) in enumerate(zip(paragraphs, texts, strict=True)):
                own = {"domain": record.get("domain"), "document": document, "segment": f"{document}:{n}"}
                yield line, _row(record["id"], system, source, hypothesis) | own


def _read_outputs(path: Path, records, problems: list[Problem], *, segments: Path | None, **_) -> Rows:
    """A record is a segment; its source and references come from the table."""
    if segments is None:
        raise In2xError(f"{path}: outputs without sources; give the table with id, src and ref beside it as segments")
    table = _segment_table(segments)
    unknown = [str(record["id"]) for _, record in records if record["id"] not in table]
    without = sorted(set(table) - {record["id"] for _, record in records})
    if unknown or without:
        raise In2xError(
            f"{path} and {segments} differ in their segments: {len(unknown):,} are in the first alone "
            f"({store_checks.listed(unknown, 3) or 'none'}), {len(without):,} in the second alone "
            f"({store_checks.listed(without, 3) or 'none'}); give the files of one test set"
        )
    for line, record in records:
        if not isinstance(record["hyps"], dict):
            problems.append((line, f"hyps: expected an object of systems, got {record['hyps']!r:.40}"))
            continue
        own = {key: value for key, value in table[record["id"]].items() if key != "source"}
        for system, hypothesis in record["hyps"].items():
            yield line, _row(record["id"], system, table[record["id"]]["source"], hypothesis) | own


def _read_esa(path: Path, records, problems: list[Problem], *, note: Callable[[str], None], **_) -> Rows:
    """A record is one annotator's score; where several scored the same hypothesis, the mean counts.

    Annotators saw the segments in any order; they are put in that of the numbers that their ids end in.
    """
    grouped: dict[tuple, list[tuple[int, dict]]] = {}
    for line, record in records:
        grouped.setdefault((str(record["id"]), str(record["system"])), []).append((line, record))
    several = sum(len(group) > 1 for group in grouped.values())
    if several:
        note(f"{path}: {several:,} hypotheses were scored more than once; their scores are the means")
    for group in sorted(grouped.values(), key=lambda group: _number(str(group[0][1]["id"]))):
        line, first = group[0]
        for other_line, other in group[1:]:
            if any(other[key] != first[key] for key in ("src", "hyp")):
                problems.append((other_line, f"src or hyp unlike that of line {line}, of the same id and system"))
        given = [record["esa"] for _, record in group if record["esa"] is not None]
        wrong = [score for score in given if isinstance(score, bool) or not isinstance(score, int | float)]
        if wrong:
            problems.append((line, f"esa: expected a number or null, got {wrong[0]!r}"))
            continue
        own = {"domain": first.get("domain"), "document": first.get("doc")}
        scores = {HUMAN_ESA: fmean(given) if given else None}
        yield line, _row(first["id"], first["system"], first["src"], first["hyp"]) | own | {"scores": scores}


WMT_FORMATS = {  # in the order in which they are tried
    "documents": (("id", "paras", "hyps"), _read_documents),
    "outputs": (("id", "hyps"), _read_outputs),
    "esa": (("id", "system", "src", "hyp", "esa"), _read_esa),
}


def _row(identity, system: str, source, hypothesis) -> dict:
    return {
        "pair": _pair(str(identity)), "domain": None, "document": None, "segment": identity, "system": system,
        "source": source, "hypothesis": hypothesis, "references": [],
    }  # fmt: skip


def _number(identity: str) -> int:
    digits = re.search(r"\d+$", identity)
    return int(digits[0]) if digits else 0


def _pair(identity: str) -> str | None:
    """The pair in an id, without a region: "en-ja_JP_#_news_#_bbc.1" is of "en-ja"."""
    found = PAIR_IN_ID.search(identity)
    return re.sub(r"_[A-Z]{2}$", "", found[1]) if found else None


def _segment_table(path: Path) -> dict[str, dict]:
    """Source, references, document and domain by id, of a tab-separated file with a header."""
    header, *lines = text_lines(path)
    names = header.split("\t")
    for name in ("id", "src"):
        if name not in names:
            raise In2xError(f"{path}: no column {name!r} in its header; it has {', '.join(names)}")
    problems, table = [], {}
    for number, line in enumerate(lines, 2):
        fields = line.split("\t")
        if len(fields) != len(names):
            problems.append((number, f"{len(fields)} fields, expected {len(names)}"))
            continue
        row = dict(zip(names, fields, strict=True))
        if row["id"] in table:
            problems.append((number, f"id {row['id']!r} again; keep one of the lines"))
        table[row["id"]] = {
            "source": row["src"],
            "references": [text for name, text in row.items() if name.startswith("ref")],
            "document": row.get("doc") or None,
            "domain": row.get("domain") or None,
        }
    store_checks.refuse(path, problems, "line")
    return table


def _with_automatic_scores(frame: pl.DataFrame, path: Path, note: Callable[[str], None]) -> pl.DataFrame:
    """Add WMT25's scores: metric_scores holds a list per metric, one score for each paragraph of the document."""
    problems: list[Problem] = []
    found: dict[str, dict[tuple[str, str], float | None]] = {}
    lengths = dict(frame.group_by("document").agg(pl.col("segment").n_unique()).iter_rows())
    systems, left_out = set(store.systems(frame)), set()
    for line, record in store.json_rows(path, problems):
        system, document = record.get("system"), record.get("document_id")
        if system not in systems or document not in lengths:
            left_out.add(f"document {document}" if system in systems else f"system {system}")
            continue
        for metric, values in record.get("metric_scores", {}).items():
            if not _are_scores(values, lengths[document]):
                message = f"{metric}: expected {lengths[document]} numbers or nulls, as {document} has paragraphs"
                problems.append((line, message))
                continue
            scores = {(system, f"{document}:{n}"): value for n, value in enumerate(values)}
            found.setdefault(metric, {}).update(scores)
    store_checks.refuse(path, problems, "line")
    if not found:
        raise In2xError(f"{path}: no scores of these systems and documents; is it of the same test set?")
    if left_out:
        note(f"{path}: left out, without texts here: {store_checks.listed(sorted(left_out))}")
    keys = list(frame.select("system", "segment").iter_rows())
    for metric, scores in found.items():
        frame = store.add_scores(frame, metric, [scores.get(key) for key in keys])
    return frame


def _are_scores(values, number: int) -> bool:
    if not isinstance(values, list) or len(values) != number:
        return False
    return all(
        value is None or (isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value))
        for value in values
    )


def _are_texts(value) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
