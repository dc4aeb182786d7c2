"""Approximations of MBR: by hand, against exact MBR, and how often they agree with it on outputs of real systems."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from in2x.decoding.approximate import select_aggregated, select_coarse_to_fine, select_pruned, shortlist
from in2x.decoding.mbr import select
from in2x.decoding.utilities import RowUtility, make_utility
from in2x.evaluation.chrf import aggregate_chrf, pairwise_chrf

CANDIDATES = ["猫が好きです。", "私は猫が好きです。", "犬が嫌いだ。", "私は猫が好きだ。", "猫が好きです。", "空"]
OUTPUTS = Path(__file__).parents[2].parent / "shared" / "data" / "wmt" / "wmt23.en-ja.outputs.jsonl.gz"


class Counted:
    """chrF that counts how many utilities it was asked for."""

    def __init__(self, utility=pairwise_chrf):
        self.utility, self.num = utility, 0

    def __call__(self, hypotheses, references):
        self.num += len(hypotheses) * len(references)
        return self.utility(hypotheses, references)


def test_aggregated_merges_duplicates_and_weights():
    choice = select_aggregated(["ab", "x", "ab"], ["ab", "ac", "ab"], [1, 1, 2])
    assert choice.expected_utilities == pytest.approx(aggregate_chrf(["ab", "x", "ab"], ["ab", "ac"], [0.75, 0.25]))
    assert choice.index == 0


def test_aggregated_is_exact_with_one_reference():
    exact = select(CANDIDATES, pairwise_chrf, [CANDIDATES[3]])
    assert select_aggregated(CANDIDATES, [CANDIDATES[3]]).expected_utilities == pytest.approx(exact.expected_utilities)


def test_shortlist_keeps_the_best_distinct_candidates_in_order():
    scores = select_aggregated(CANDIDATES).expected_utilities
    assert shortlist(CANDIDATES, keep=2) == sorted(np.flatnonzero(scores >= np.unique(scores)[-2]))
    assert shortlist(CANDIDATES, keep=1) in ([0, 4], [1], [3])
    assert shortlist(CANDIDATES, keep=99) == list(range(6))
    with pytest.raises(ValueError, match="keep: expected at least 1, got 0"):
        shortlist(CANDIDATES, keep=0)


def test_coarse_to_fine_is_exact_among_the_kept():
    counted = Counted()
    exact, choice = select(CANDIDATES, pairwise_chrf), select_coarse_to_fine(CANDIDATES, counted, keep=2)
    kept = shortlist(CANDIDATES, keep=2)
    assert counted.num == 2 * 5  # distinct references
    assert np.flatnonzero(~np.isnan(choice.expected_utilities)).tolist() == kept
    assert choice.expected_utilities[kept] == pytest.approx(exact.expected_utilities[kept])
    assert choice.index == kept[int(np.argmax(exact.expected_utilities[kept]))]


def test_coarse_to_fine_hands_the_source_on():
    utility = RowUtility(lambda rows: [float(hypothesis == source) for source, hypothesis, _ in rows])
    assert select_coarse_to_fine(CANDIDATES, utility, source="犬が嫌いだ。", keep=6).index == 2


def test_pruned_is_exact_when_every_pseudo_reference_is_in_the_first_step():
    weights = [1, 2, 0, 1, 1, 0.5]
    exact = select(CANDIDATES, pairwise_chrf, weights=weights)
    choice = select_pruned(CANDIDATES, pairwise_chrf, weights=weights, num_first=6)
    assert choice.expected_utilities == pytest.approx(exact.expected_utilities)
    assert choice.index == exact.index


def test_pruned_drops_the_hopeless_and_scores_no_pair_twice():
    good, bad = [f"good {i}" for i in range(4)], [f"bad {i}" for i in range(4)]
    asked = []

    def utility(hypotheses, references):
        asked.extend((h, r) for h in hypotheses for r in references)
        return np.array([[h.startswith("good") + len(h + r) * 1e-3 for r in references] for h in hypotheses])

    pseudo_references = [f"reference {i % 30}" for i in range(40)]
    choice = select_pruned(bad + good, utility, pseudo_references, num_first=4, seed=3)
    assert choice.index == 4
    assert np.isnan(choice.expected_utilities).tolist() == [True] * 4 + [False] * 4
    assert len(asked) == len(set(asked))
    # Four references (at most) with everyone; all 30 with the good ones, which tie.
    assert 4 * 30 < len(asked) <= 4 * 30 + 4 * 4


def test_pruned_stops_when_one_is_left():
    counted = Counted(lambda hypotheses, references: np.tile(np.arange(len(hypotheses))[:, None], len(references)))
    choice = select_pruned([str(i) for i in range(10)], counted, [f"r{i}" for i in range(100)], num_first=5)
    assert (choice.index, choice.expected_utility, counted.num) == (9, 9.0, 50)
    assert np.isnan(choice.expected_utilities).tolist() == [True] * 9 + [False]


def test_pruned_doubles_the_pseudo_references_and_skips_those_without_weight():
    asked = []

    def utility(hypotheses, references):
        asked.append(references)
        return np.ones((len(hypotheses), len(references)))

    references = [f"r{i}" for i in range(30)]
    select_pruned(["a", "b"], utility, references, [0.0] + [1.0] * 29, num_first=4)
    assert [len(batch) for batch in asked] == [4, 4, 8, 13]
    assert sorted(text for batch in asked for text in batch) == sorted(references[1:])


def _prefers(first_of):
    """A utility of "a" and "b": "a" wins by 0.1 against references of one kind, "b" by 1 against the others."""

    def utility(hypotheses, references):
        return np.array(
            [[0.1 * (h == "a") if r.startswith(first_of) else float(h == "b") for r in references] for h in hypotheses]
        )

    return utility


def test_pruned_resamples_with_the_weights():
    references = [f"{kind}{i}" for i in range(40) for kind in ("heavy", "light")]
    choice = select_pruned(["a", "b"], _prefers("heavy"), references, [1.0, 1e-6] * 40, num_first=20)
    assert choice.index == 0
    assert np.isnan(choice.expected_utilities[1])


def test_pruned_takes_pseudo_references_in_random_order():
    # In the order given, the first step would see none that speaks for "b".
    references = [f"first{i}" for i in range(8)] + [f"other{i}" for i in range(92)]
    assert select_pruned(["a", "b"], _prefers("first"), references).index == 1


def test_pruned_is_reproducible():
    choices = [select_pruned(CANDIDATES, pairwise_chrf, num_first=2, confidence=0.8, seed=5) for _ in range(2)]
    np.testing.assert_array_equal(*(choice.expected_utilities for choice in choices))


@pytest.mark.parametrize("wrong", [{"num_first": 0}, {"confidence": 1.0}, {"confidence": 0.0}, {"num_resamples": 0}])
def test_pruned_refuses(wrong):
    with pytest.raises(ValueError, match="confidence between 0 and 1"):
        select_pruned(CANDIDATES, pairwise_chrf, **wrong)


@pytest.fixture(scope="module")
def outputs():
    """The WMT23 systems' outputs, every 20th segment."""
    if not OUTPUTS.exists():
        pytest.skip(f"{OUTPUTS} is not there")
    with gzip.open(OUTPUTS, "rt", encoding="utf-8") as stream:
        segments = [list(json.loads(line)["hyps"].values()) for line in stream]
    return [[text for text in texts if text.strip()] for texts in segments[::20]]


# Least fraction of equal choices, most mean loss, most utilities asked for; measured by benchmarks/mbr_agreement.py.
METHODS = {
    "aggregated": lambda candidates, utility: select_aggregated(candidates),
    "coarse to fine": lambda candidates, utility: select_coarse_to_fine(candidates, utility, keep=4),
    "pruned": select_pruned,
}
BOUNDS = {
    "chrf": {"aggregated": (0.85, 0.3, 0.0), "coarse to fine": (0.95, 0.1, 0.3), "pruned": (0.95, 0.2, 0.95)},
    "bleu": {"aggregated": (0.55, 1.5, 0.0), "coarse to fine": (0.85, 0.5, 0.3), "pruned": (0.95, 0.3, 0.95)},
}


@pytest.mark.parametrize("name", BOUNDS)
def test_agreement_with_exact_mbr_on_real_outputs(outputs, name):
    if name == "bleu":
        pytest.importorskip("MeCab", reason="needs sacrebleu[ja]")
    utility = make_utility(name, target_language="ja")
    exact = [select(candidates, utility) for candidates in outputs]
    num_pairs = sum(len(set(candidates)) ** 2 for candidates in outputs)
    for label, (least_equal, most_lost, most_asked) in BOUNDS[name].items():
        counted = Counted(utility)
        indices = [METHODS[label](candidates, counted).index for candidates in outputs]
        lost = np.array([c.expected_utility - c.expected_utilities[i] for c, i in zip(exact, indices, strict=True)])
        assert (lost < 1e-9).mean() >= least_equal, label
        assert lost.mean() <= most_lost, label
        assert counted.num <= most_asked * num_pairs, label
