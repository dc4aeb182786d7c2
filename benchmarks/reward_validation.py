"""Hold the components of a run's reward, and its sum, against human judgement.

    OMP_NUM_THREADS=1 POLARS_MAX_THREADS=1 python benchmarks/reward_validation.py --data ../shared/data \
        --recipe recipes/tiny.toml --run runs/tiny --out benchmarks/results/reward_validation.json

Parts (`--parts`, all by default); a pair is two texts of which people prefer the first:
    esa        WMT24 en-ja: pairs by one annotator, scores 10 or more apart (ESA); references are WMT24's
    wmt24      WMT24 en-ja: all pairs of a segment's systems 25 or more apart, and correlation with the scores
    condrift   WMT25 en-ja: paragraphs of a good system against fluent ones that drift from the source; no references
    register   CoCoA-MT en-ja: the formal version against the informal one; asked for, and not asked for
    revisions  Kyoto ja-en: the final English against the draft; no references
    attacks    WMT24 en-ja: the attacks of in2x.rewards.attacks on the best-rated system's translation, in groups with
               other systems' (300 segments of 20 to 250 characters, so that groups are strong and honest texts good)
Beside the components: the longer text, and a random number. The sum is composed over all texts of a segment at once.
WMT's data is for evaluation only. No component was trained on any of these sets. The length penalty in tokens is left
out: these texts are longer than the recipe's limit.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from in2x import artifacts
from in2x.instruct.prompts import translation_prompt
from in2x.records import Completion
from in2x.rewards.components import COMPONENTS, Resources
from in2x.rewards.compose import compose
from in2x.rewards.gates import check_gates
from in2x.rewards.groups import Group
from in2x.rewards.measure import measure
from in2x.rewards.redteam_command import measurable
from in2x.rewards.validation import correlation, pair_accuracy, ranked_pairs

HUMAN, GOOD_SYSTEM = "refA", "In2x"
EN_JA, JA_EN = ("en", "ja"), ("ja", "en")
SIDES = ("better_system", "worse_system")
SEED, WMT24_GAP, NUM_RATIO_PAIRS = 12345, 25.0, 20_000
MIN_ESA, NUM_OTHERS, NUM_ATTACKED = 80.0, 4, 300
ENOUGH_TOKENS = 1 << 20  # no text of these sets is near: the absolute length penalty says nothing


@dataclass(frozen=True)
class Text:
    """One translation; texts of one `item` have the same source."""

    item: str
    unit: str
    source: str
    text: str
    reference: str | None = None
    prompt: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with wmt/ and pref/")
    parser.add_argument("--recipe", type=Path, required=True, help="its rl.reward_weights are the sum's")
    parser.add_argument("--run", type=Path, required=True, help="folder of a run, with corpus, sft and reward")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--limit", type=int, help="only so many items of each part, for a trial")
    options = parser.parse_args()
    found = artifacts.read_json(options.out) if options.out.exists() else {}
    judge = Judge(options.recipe, options.run)
    for part in options.parts:
        start = time.process_time()
        found[part] = PARTS[part](options, judge) | {"cpu_seconds": round(time.process_time() - start, 1)}
        found["of"] = {"run": str(options.run), "weights": judge.weights, "git_commit": artifacts.git_commit()}
        artifacts.write_json(options.out, found)
        print(f"\n{part} ({found[part]['cpu_seconds']} s)")
        for name, measured in found[part].items() if part != "attacks" else ():
            print("\n".join(lines(name, measured)) if isinstance(measured, dict) else f"{name}: {measured}", flush=True)


def esa_pairs(options, judge: Judge) -> dict:
    rows = wmt24_rows(options)
    document = {row["id"]: row["doc"] for row in rows}
    pairs = read_jsonl(options.data / "wmt/wmt24.en-ja.esa_pairs.jsonl.gz")
    pairs = [pair for pair in pairs if pair["id"] in document]
    machine = [pair for pair in pairs if HUMAN not in (pair["better_system"], pair["worse_system"])]
    with_human = [pair for pair in pairs if HUMAN in (pair["better_system"], pair["worse_system"])]
    systems, scores = wmt24_scores(options, judge)
    table = {"pairs of systems": _of_pairs(machine, systems, scores, document)}
    used = {(pair["id"], pair[side]) for pair in with_human for side in ("better_system", "worse_system")}
    others = [row for row in rows if (row["id"], row["system"]) in used]
    texts = [replace(text, reference=None) for text in texts_of(others)]  # against itself the reference is perfect
    table["a system and the reference"] = _of_pairs(with_human, others, judge.scores(texts, EN_JA), document)
    return table | {"num_gated": scores.num_gated}


def _of_pairs(pairs: list[dict], rows: list[dict], scores: Scores, document: dict) -> dict:
    place = {(row["id"], row["system"]): number for number, row in enumerate(rows)}
    better, worse = (np.array([place[pair["id"], pair[side]] for pair in pairs]) for side in SIDES)
    return accuracies(scores, better, worse, [document[pair["id"]] for pair in pairs])


def wmt24(options, judge: Judge) -> dict:
    rows, scores = wmt24_scores(options, judge)
    human, documents = [row["esa"] for row in rows], [row["doc"] for row in rows]
    better, worse = np.array(ranked_pairs([row["id"] for row in rows], human, WMT24_GAP)).T
    found = {name: correlation(values, human, documents) for name, values in scores.values.items()}
    return {
        "pairs": accuracies(scores, better, worse, [documents[row] for row in better]),
        "correlation": {name: asdict(value) for name, value in found.items() if value},
    }


def wmt24_scores(options, judge: Judge) -> tuple[list[dict], Scores]:
    """The rows of systems, and their scores: composed over the systems of a segment, measured once for both parts."""
    rows = [row for row in wmt24_rows(options) if row["system"] != HUMAN]
    if "wmt24" not in judge.known:
        judge.known["wmt24"] = judge.scores(texts_of(rows), EN_JA, with_sum=True)
    return rows, judge.known["wmt24"]


def condrift(options, judge: Judge) -> dict:
    outputs = {row["id"]: row["hyps"] for row in read_jsonl(options.data / "wmt/wmt25.en-ja.docs.jsonl.gz")}
    texts = []
    for row in read_jsonl(options.data / "wmt/wmt25.en-ja.condrift.jsonl.gz", options.limit):
        good = outputs.get(row["doc"], {}).get(GOOD_SYSTEM)
        if good and row["para"] < len(good) and good[row["para"]].strip():
            item = f"{row['doc']}#{row['para']}"
            texts += [Text(item, row["doc"], row["src"], text) for text in (good[row["para"]], *row["drift"])]
    scores, by_item = judge.scores(texts, EN_JA, with_sum=True), rows_by_item(texts)
    pairs = [(rows[0], row) for rows in by_item.values() for row in rows[1:]]
    better, worse = np.array(pairs).T
    return {"pairs": accuracies(scores, better, worse, [texts[row].unit for row in better])}


def register(options, judge: Judge) -> dict:
    with gzip.open(options.data / "pref/cocoa.register.en-ja.tsv.gz", "rt", encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t") if row["ja_formal"] != row["ja_informal"]]
    table = {}
    for asked, first, second in (
        (None, "ja_formal", "ja_informal"),
        ("polite", "ja_formal", "ja_informal"),
        ("plain", "ja_informal", "ja_formal"),
    ):
        texts = [
            Text(str(n), str(n), row["en"], row[side], prompt=translation_prompt(row["en"], "ja", asked))
            for n, row in enumerate(rows[: options.limit])
            for side in (first, second)
        ]
        scores, evens = judge.scores(texts, EN_JA), np.arange(0, len(texts), 2)
        name = f"asked for {asked}" if asked else "not asked for: the formal one (no right answer)"
        table[name] = accuracies(scores, evens, evens + 1, [texts[row].unit for row in evens])
    return table


def revisions(options, judge: Judge) -> dict:
    with gzip.open(options.data / "pref/kyoto.revisions.ja-en.tsv.gz", "rt", encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)]
    rows = [row for row in rows if row["draft"] and row["final"] and row["draft"] != row["final"]]
    rows = [rows[n] for n in np.random.default_rng(SEED).permutation(len(rows))[: options.limit or 3000]]
    texts = [
        Text(str(n), row["doc"], row["ja"], row[side]) for n, row in enumerate(rows) for side in ("final", "draft")
    ]
    scores, evens = judge.scores(texts, JA_EN, leave_out=("naturalness", "script")), np.arange(0, len(texts), 2)
    return {"pairs": accuracies(scores, evens, evens + 1, [texts[row].unit for row in evens])}


def attacks(options, judge: Judge) -> dict:
    """How often an attack on a good system's translation beats it, by component and sum; the reference is WMT24's."""
    from in2x.rewards import redteam as team
    from in2x.rewards.translation import TranslationReward

    by_segment = defaultdict(list)
    for row in wmt24_rows(options):
        if row["system"] != HUMAN and 20 <= len(row["src"]) <= 250:
            by_segment[row["id"]].append(row)
    pairs = []
    for rows in by_segment.values():
        rows.sort(key=lambda row: -row["esa"])
        written = tuple(Completion([0], [0.0], row["hyp"], True) for row in rows[1 : 1 + NUM_OTHERS])
        if rows[0]["esa"] >= MIN_ESA and len(written) == NUM_OTHERS:
            pairs.append(team.Pair(rows[0]["id"], rows[0]["src"], rows[0]["ref"], rows[0]["hyp"], written))
    names = [name for name in measurable(judge.resources) if name not in ("length", "bleu")]

    def alone(groups: list[Group]) -> dict:
        every_PG = np.ones((len(groups), 2), dtype=bool)
        found = {name: measure(name, groups, every_PG, judge.resources).values_PG for name in names}
        return {name: values for name, values in found.items() if np.isfinite(values).any()}

    reward = TranslationReward(judge.weights, resources=judge.resources)
    cases = team.make_cases(pairs, "ja", NUM_ATTACKED, SEED)
    tokenizer = judge.resources.preference[1]
    findings = team.redteam(cases, {"sum": reward}, alone, tokenizer, ENOUGH_TOKENS, EN_JA)
    print("\n".join(team.table(findings, ["sum", "sum" + team.BLIND], markdown=True)))
    return {"findings": team.as_json(findings), "num_pairs": len(pairs), "group_size": NUM_OTHERS + 2}


PARTS = {
    "condrift": condrift,
    "register": register,
    "revisions": revisions,
    "esa": esa_pairs,
    "wmt24": wmt24,
    "attacks": attacks,
}


@dataclass(frozen=True)
class Scores:
    """values: column -> one score a text; num_gated: texts that a gate stopped, of those that were composed."""

    values: dict[str, np.ndarray]
    num_gated: int = 0


class Judge:
    """The components that a run has the models for, and the sum by a recipe's weights."""

    def __init__(self, recipe: Path, run: Path):
        import polars as pl

        from in2x.evaluation.reconstruction import load_reconstructor
        from in2x.model.loading import load_tokenizer
        from in2x.recipe import load
        from in2x.rewards import naturalness
        from in2x.rewards.alignment import load_lexicon
        from in2x.rewards.length import fit_length_ratios

        section, self.known = load(recipe).rl, {}
        self.weights = {name: w for name, w in section.reward_weights.items() if w and name != "length"}
        path = run / "reward" / "naturalness"
        pairs = pl.read_parquet(run / "corpus/pairs.parquet").filter(split="train").head(NUM_RATIO_PAIRS)
        lexicon = run / "reward" / "lexicon.parquet"
        self.resources = Resources(
            lexicon=load_lexicon(lexicon) if lexicon.exists() else None,
            reconstructor=load_reconstructor(run / "sft" / "model"),
            chrf_beta=section.chrf_beta, max_tokens=ENOUGH_TOKENS, buffer_tokens=1,
            preference=(naturalness.load(path), load_tokenizer(path)),
            length_ratios=fit_length_ratios(pairs.select("source", "target").iter_rows(), "en", "ja"),
        )  # fmt: skip

    def scores(self, texts: list[Text], direction, *, with_sum: bool = False, leave_out: tuple = ()) -> Scores:
        """Every component that can be computed and has values here, the two baselines, and where asked the sums."""
        singles = [self._group(text, direction) for text in texts]
        passed = np.ones((len(texts), 1), dtype=bool)
        values = {
            name: measure(name, singles, passed, self.resources).values_PG[:, 0]
            for name in measurable(self.resources)
            if name not in (*leave_out, "length")
        }
        values["the longer text"] = np.array([float(len("".join(text.text.split()))) for text in texts])
        values["random"] = np.random.default_rng(SEED).random(len(texts))
        num_gated = 0
        if with_sum:
            sums, num_gated = self._sums(texts, values, direction)
            values |= sums
        return Scores({name: column for name, column in values.items() if np.isfinite(column).any()}, num_gated)

    def _sums(self, texts: list[Text], values: dict, direction) -> tuple[dict[str, np.ndarray], int]:
        """Compose the components over the texts of each item, as in RL; items of one size go together."""
        reasons = [check_gates(t.text, t.source, direction[1], True, prompt=t.prompt) for t in texts]
        passed = np.array([reason is None for reason in reasons])
        by_size: dict[int, list] = defaultdict(list)
        for rows in rows_by_item(texts).values():
            by_size[len(rows)].append(rows)
        found = {}
        for key, names in (
            ("sum", list(self.weights)),
            ("sum without references", [n for n in self.weights if "reference" not in COMPONENTS[n].needs]),
        ):
            weights = {name: self.weights[name] for name in names if name in values}
            found[key] = np.full(len(texts), np.nan)
            for items in by_size.values() if weights else ():
                rows_PG = np.array(items)
                components = {name: values[name][rows_PG] for name in weights}
                found[key][rows_PG] = compose(components, passed[rows_PG], weights).rewards_PG
        return found, int((~passed).sum())

    def _group(self, text: Text, direction) -> Group:
        written = [Completion([], [], text.text, True)]
        prompt = text.prompt or translation_prompt(text.source, direction[1])
        return Group(text.item, [], text.source, text.reference, direction[1], written, direction[0], prompt=prompt)


def accuracies(scores: Scores, better, worse, units) -> dict:
    found = {name: pair_accuracy(values[better], values[worse], units) for name, values in scores.values.items()}
    return {name: asdict(accuracy) for name, accuracy in found.items() if accuracy}


def rows_by_item(texts: list[Text]) -> dict[str, list[int]]:
    found = defaultdict(list)
    for row, text in enumerate(texts):
        found[text.item].append(row)
    return found


def wmt24_rows(options) -> list[dict]:
    """Rows of segments that have a reference, with it as `ref`."""
    rows = read_jsonl(options.data / "wmt/wmt24.en-ja.esa.jsonl.gz")
    references = {row["id"]: row["hyp"] for row in rows if row["system"] == HUMAN}
    kept = set(list(references)[: options.limit])
    return [row | {"ref": references[row["id"]]} for row in rows if row["id"] in kept]


def texts_of(rows: list[dict]) -> list[Text]:
    return [Text(row["id"], row["doc"], row["src"], row["hyp"], row["ref"]) for row in rows]


def read_jsonl(path: Path, limit: int | None = None) -> list[dict]:
    with gzip.open(path, "rt", encoding="utf-8") as stream:
        return [json.loads(line) for line, _ in zip(stream, range(limit or 1 << 30), strict=False)]


def lines(name: str, measured: dict) -> list[str]:
    """Rows of a Markdown table."""
    if "spearman" in next(iter(measured.values()), {}):
        head = [f"| {name} | Spearman | 95 % | Pearson | texts |", "|---|---|---|---|---|"]
        return head + [
            f"| {column} | {m['spearman']:.3f} | {m['spearman_low']:.3f} to {m['spearman_high']:.3f} "
            f"| {m['pearson']:.3f} | {m['num']:,} |"
            for column, m in measured.items()
        ]
    head = [f"| {name} | right, % | 95 % | ties, % | pairs | units |", "|---|---|---|---|---|---|"]
    return head + [
        f"| {column} | {100 * m['accuracy']:.1f} | {100 * m['low']:.1f} to {100 * m['high']:.1f} "
        f"| {100 * m['ties']:.1f} | {m['num_pairs']:,} | {m['num_units']:,} |"
        for column, m in measured.items()
    ]


if __name__ == "__main__":
    main()
