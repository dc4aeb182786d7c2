"""Measure the Japanese checks on real text: what they find of planted faults, and what tells machines from humans.

    POLARS_MAX_THREADS=1 python benchmarks/japanese.py --data ../shared/data --out benchmarks/results/japanese.json

Parts (`--parts`, all by default):
    faults     per check and corpus: share of planted faults found, share of clean sentences it fires on
    register   register of the formal and informal versions of the same lines (CoCoA-MT)
    pronouns   pronouns a sentence: references, Japanese originals, systems
    markers    rate ratio, machine over human, of every marker and of phrases that were left out: WMT23, WMT24
    detection  WMT24 documents: how often the system's text has the higher rate than the reference; agreement with ESA
Intervals are 95% percentile bootstraps over segments (WMT23) or documents (WMT24).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import binomtest, spearmanr

from in2x import artifacts
from in2x.evaluation.japanese import checks, pronouns, register, translationese
from in2x.evaluation.japanese.document import prose, sentences
from in2x.evaluation.japanese.validation import validate

HUMAN = "refA"
NUM_RESAMPLES, SEED = 1000, 12345
DETECTORS = ("register_switch", "translationese", "dense_translationese", "pronouns", "pronoun_you", "pronoun_chain")
# Phrases that guides to translation name, or that looked likely, and that are not in the table.
LEFT_OUT = {
    "ということ": r"ということ",
    "もし〜なら": r"もし(?!も?し|くは|か)[^。]{1,40}?(?:なら|たら|れば|場合|ば)",
    "なければならない": r"なければ(?:な|いけ)|ないといけ",
    "ことで": r"こと(?:で(?!あ|す|し|は|も)|によ)",
    "つまり": r"(?:^|(?<=[。！？\n「]))つまり",
    "のほうが": r"の(?:方|ほう)が",
    "ものだ": r"もの(?:です|でした|である|だ|だった)(?=[。！]|$)",
    "ところの": r"(?:た|る|い)ところの",
    "同じくらい": r"同じくらい",
    "かもしれない": r"かも(?:しれ|知れ)",
    "とても": r"とても",
    "における": r"における|において",
    "に関する": r"についての|に関する|に対する",
    "させる": r"させ(?:る|た|ま|て)",
    "誰か": r"誰か|誰も",
    "何か": r"何か",
    "残念ながら": r"(?:幸運にも|残念ながら|興味深いことに|驚くべきことに|不幸にも|奇妙なことに)",
    "し始める": r"(?:し|り|き|み|い|ち|べ|え|れ)始め",
    "と呼ばれる": r"と呼ばれ",
    "ほとんど": r"ほとんど",
    "だけでなく": r"だけでなく",
    "40 characters without a mark": r"[^。、]{40,}",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with wmt/, parallel/ and pref/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--documents", type=int, default=60, help="documents drawn from each large corpus")
    options = parser.parse_args()
    found = artifacts.read_json(options.out) if options.out.exists() else {}
    for part in options.parts:
        found[part] = PARTS[part](options)
        artifacts.write_json(options.out, found)
        print(f"{part}:\n{json.dumps(found[part], ensure_ascii=False, indent=1)}", flush=True)


def faults(options) -> dict:
    """Corpus -> check -> planted, caught, clean sentences, sentences fired on."""
    rng = random.Random(SEED)
    corpora = {
        "wmt24": [(segments, sources) for segments, sources in wmt24(options.data)[HUMAN].values()],
        "techdocs": rng.sample(pairs_of(options.data / "parallel/techdocs.en-ja.docs.jsonl.gz"), options.documents),
        "kyoto": rng.sample(kyoto(options.data), options.documents),
        "literary": [(s[:25], e[:25]) for s, e in pairs_of(options.data / "parallel/literary.en-ja.docs.jsonl.gz")],
    }
    return {
        corpus: {
            name: {"planted": v.num_planted, "caught": v.num_caught, "sentences": v.num_sentences, "fired": v.num_fired}
            for name, v in validate(documents, plants_per_document=3).items()
        }
        for corpus, documents in corpora.items()
    }


def register_accuracy(options) -> dict:
    """Register of every sentence of the formal and of the informal version; lines without a difference are left out."""
    rows = [row for row in tsv(options.data / "pref/cocoa.register.en-ja.tsv.gz") if row[3] != row[4]]
    return {
        name: dict(Counter(register.classify(s.text) for row in rows for s in sentences([row[column]])).most_common())
        for name, column in (("formal", 3), ("informal", 4))
    }


def pronoun_rates(options) -> dict:
    """Corpus -> sentences and pronouns per sentence, in all and by family."""
    corpora = {f"wmt{year} references": [row[4] for row in references(options.data, year)] for year in (21, 22, 23)}
    corpora |= {
        f"wmt{year} Japanese originals": [row[3] for row in tsv(options.data / f"wmt/wmt{year}.ja-en.tsv.gz")]
        for year in (21, 22, 23)
    }
    corpora["literary translations"] = [
        text for segments, _ in pairs_of(options.data / "parallel/literary.en-ja.docs.jsonl.gz") for text in segments
    ]
    by_system = wmt24(options.data)
    corpora |= {f"wmt24 {system}": [t for s, _ in docs.values() for t in s] for system, docs in by_system.items()}
    corpora |= {f"wmt23 {system}": texts for system, texts in outputs23(options.data).items()}
    return {name: _pronouns(texts) for name, texts in corpora.items()}


def marker_ratios(options) -> dict:
    """Marker -> rate per 1,000 characters in the WMT23 references, ratios and intervals on WMT23 and WMT24."""
    patterns = {marker.name: marker.pattern for marker in translationese.MARKERS}
    patterns |= {name: re.compile(text, re.MULTILINE) for name, text in LEFT_OUT.items()}
    human23 = [row[4] for row in references(options.data, 23)]
    by_system = {system: _joined(docs) for system, docs in wmt24(options.data).items()}
    ids = sorted(by_system[HUMAN])
    human24 = [by_system[HUMAN][name] for name in ids]
    machine24 = [[docs.get(name, "") for name in ids] for system, docs in by_system.items() if system != HUMAN]
    rate, *in23 = _ratios(patterns, human23, list(outputs23(options.data).values()))
    _, *in24 = _ratios(patterns, human24, machine24)
    kept = {marker.name for marker in translationese.MARKERS}
    return {
        name: {"kept": name in kept, "human_rate": float(rate[i]),
               "wmt23": [float(x[i]) for x in in23], "wmt24": [float(x[i]) for x in in24]}
        for i, name in enumerate(patterns)
    }  # fmt: skip


def detection(options) -> dict:
    """Detector -> per system the share of documents with a higher rate than the reference; correlation with ESA."""
    by_system = wmt24(options.data)
    human = by_system.pop(HUMAN)
    esa = mean_esa(options.data)
    found = {}
    for name in DETECTORS:
        check = checks.CHECKS[name]
        rates = {key: _rate(check, *document) for key, document in human.items()}
        wins_DS = np.full((len(rates), len(by_system)), np.nan)
        for column, documents in enumerate(by_system.values()):
            for row, key in enumerate(rates):
                if key in documents:
                    gap = _rate(check, *documents[key]) - rates[key]
                    wins_DS[row, column] = (gap > 0) + 0.5 * (gap == 0)
        overall = [_total_rate(check, documents.values()) for documents in by_system.values()]
        rank = spearmanr(overall, [esa[system] for system in by_system])
        means = np.nanmean(wins_DS, axis=0)
        found[name] = {
            "higher_than_reference": dict(zip(by_system, map(float, means), strict=True)),
            "pooled": [float(np.nanmean(wins_DS)), *_interval(wins_DS)],
            "spearman_of_system_rate_and_esa": [float(rank.statistic), float(rank.pvalue)],
            "esa_pairs_agreeing": _esa_agreement(options.data, check),
        }
    return found


def _esa_agreement(data: Path, check) -> dict:
    """Pairs of one segment's outputs whose ESA differs by 10 and more: does the better one have the lower rate?"""
    agree = disagree = 0
    for row in jsonl(data / "wmt/wmt24.en-ja.esa_pairs.jsonl.gz"):
        gap = _rate(check, [row["worse"]], [row["src"]]) - _rate(check, [row["better"]], [row["src"]])
        agree, disagree = agree + (gap > 0), disagree + (gap < 0)
    test = binomtest(agree, max(1, agree + disagree))
    return {"pairs": agree + disagree, "share": agree / max(1, agree + disagree), "p": float(test.pvalue)}


def _rate(check, segments, sources) -> float:
    factor, count = checks.UNITS[check.unit]
    weight = sum(finding.weight for finding in check.function(segments, sources))
    return factor * weight / max(1, count(segments))


def _total_rate(check, documents) -> float:
    factor, count = checks.UNITS[check.unit]
    weights = sum(f.weight for segments, sources in documents for f in check.function(segments, sources))
    return factor * weights / max(1, sum(count(segments) for segments, _ in documents))


def _pronouns(texts) -> dict:
    found = sentences(texts)
    counts = Counter(item[0] for sentence in found for item in pronouns.found_pronouns(sentence.text))
    by_family = {family: count / len(found) for family, count in counts.most_common()}
    return {"sentences": len(found), "rate": counts.total() / len(found), "by_family": by_family}


def _ratios(patterns, human, machines) -> tuple[np.ndarray, ...]:
    """Human rates per 1,000 characters, then ratio machine / human with its bounds; nan where humans have none."""
    human_NP, human_N = _counts(patterns, human)
    machine_NP, machine_N = (sum(x) for x in zip(*(_counts(patterns, texts) for texts in machines), strict=True))
    num_texts = len(human)
    draws = np.random.default_rng(SEED).multinomial(num_texts, np.full(num_texts, 1 / num_texts), size=NUM_RESAMPLES)
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = ((draws @ machine_NP).T / (draws @ machine_N)) / ((draws @ human_NP).T / (draws @ human_N))
        ratio = (machine_NP.sum(0) / machine_N.sum()) / (human_NP.sum(0) / human_N.sum())
        low, high = np.percentile(np.nan_to_num(rates, nan=np.inf, posinf=1e9), [2.5, 97.5], axis=1)
    return 1000 * human_NP.sum(0) / human_N.sum(), ratio, low, high


def _counts(patterns, texts) -> tuple[np.ndarray, np.ndarray]:
    shown = [prose(text) for text in texts]
    counts = [[len(pattern.findall(text)) for pattern in patterns.values()] for text in shown]
    return np.array(counts, dtype=float), np.array([len(text) for text in texts], dtype=float)


def _interval(values_DS: np.ndarray) -> list[float]:
    """Bounds of the mean over documents (rows) and systems; nan is a document that a system lacks."""
    num_documents = len(values_DS)
    rng = np.random.default_rng(SEED)
    draws = rng.integers(num_documents, size=(NUM_RESAMPLES, num_documents))
    return [float(x) for x in np.percentile([np.nanmean(values_DS[draw]) for draw in draws], [2.5, 97.5])]


def _joined(documents: dict) -> dict[str, str]:
    return {key: "\n".join(segments) for key, (segments, _) in documents.items()}


def wmt24(data: Path) -> dict[str, dict[str, tuple[list[str], list[str]]]]:
    """System -> document -> (segments, sources) in order; a segment rated twice counts once."""
    rows: dict[str, dict] = defaultdict(dict)
    for row in jsonl(data / "wmt/wmt24.en-ja.esa.jsonl.gz"):
        rows[row["system"]][int(row["id"].rsplit(".", 1)[1])] = (row["doc"], row["hyp"], row["src"])
    found: dict[str, dict] = {system: {} for system in rows}
    for system, segments in rows.items():
        for _, (document, hypothesis, source) in sorted(segments.items()):
            texts, sources = found[system].setdefault(document, ([], []))
            texts.append(hypothesis)
            sources.append(source)
    return found


def mean_esa(data: Path) -> dict[str, float]:
    scores = defaultdict(list)
    for row in jsonl(data / "wmt/wmt24.en-ja.esa.jsonl.gz"):
        scores[row["system"]].append(row["esa"])
    return {system: float(np.mean(values)) for system, values in scores.items()}


def outputs23(data: Path) -> dict[str, list[str]]:
    rows = jsonl(data / "wmt/wmt23.en-ja.outputs.jsonl.gz")
    return {system: [row["hyps"][system] for row in rows] for system in rows[0]["hyps"]}


def references(data: Path, year: int) -> list[list[str]]:
    return tsv(data / f"wmt/wmt{year}.en-ja.tsv.gz")


def pairs_of(path: Path) -> list[tuple[list[str], list[str]]]:
    return [([ja for _, ja in row["pairs"]], [en for en, _ in row["pairs"]]) for row in jsonl(path)]


def kyoto(data: Path) -> list[tuple[list[str], list[str]]]:
    rows = jsonl(data / "parallel/kyoto.docs.jsonl.gz")
    return [
        (["".join(ja for _, ja in p) for p in r["paras"]], [" ".join(en for en, _ in p) for p in r["paras"]])
        for r in rows
    ]


def jsonl(path: Path) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def tsv(path: Path) -> list[list[str]]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [line.rstrip("\n").split("\t") for line in stream][1:]


PARTS = {
    "faults": faults,
    "register": register_accuracy,
    "pronouns": pronoun_rates,
    "markers": marker_ratios,
    "detection": detection,
}

if __name__ == "__main__":
    main()
