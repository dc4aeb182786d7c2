"""The whole comparison against its parts, the rule of headlines, and what is refused."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from in2x.evaluation import bootstrap, chrf, comparison, metrics, significance
from in2x.evaluation.comparison import Settings

CHARACTERS = list("猫犬がはを見食走好昨日今とても、。学校行雨")
QUICK = {"num_resamples": 200, "num_permutations": 300}


def _statistics(noise: float, seed: int, num_segments: int = 60) -> dict[str, metrics.SegmentStatistics]:
    same, own = np.random.default_rng(0), np.random.default_rng(seed)
    references = ["".join(same.choice(CHARACTERS, same.integers(2, 20))) for _ in range(num_segments)]
    hypotheses = [
        "".join(own.choice(CHARACTERS) if own.random() < noise else character for character in text)
        for text in references
    ]
    return {
        "chrF2": metrics.chrf_statistics(hypotheses, references),
        "BLEU": metrics.bleu_statistics(hypotheses, references, "zh"),
    }


def _mean(values, metric="mean") -> dict[str, metrics.SegmentStatistics]:
    counts_NK = np.array([[value, 1] for value in values])
    return {
        metric: metrics.SegmentStatistics(metric, "v1", counts_NK, (1,), lambda totals: totals[:, 0] / totals[:, 1])
    }


@pytest.fixture(scope="module")
def systems():
    return {"good": _statistics(0.1, 1), "near": _statistics(0.12, 8), "bad": _statistics(0.5, 3)}


@pytest.fixture(scope="module")
def compared(systems):
    return comparison.compare(systems, Settings(**QUICK))


def test_every_pair_by_every_metric_equals_its_parts(systems, compared):
    keys = [(pair.metric, pair.system_a, pair.system_b) for pair in compared.pairs]
    pairs = [("good", "near"), ("good", "bad"), ("near", "bad")]
    assert keys == [(metric, *pair) for metric in ("chrF2", "BLEU") for pair in pairs]
    for pair in compared.pairs:
        a, b = systems[pair.system_a][pair.metric], systems[pair.system_b][pair.metric]
        alone = bootstrap.paired_bootstrap(a, b, num_resamples=200)
        assert (pair.value_a, pair.value_b, pair.delta) == (alone.value_a, alone.value_b, alone.delta)
        assert (pair.low, pair.high, pair.p_bootstrap) == (alone.low, alone.high, alone.p_value)
        assert pair.p_randomisation == significance.paired_randomisation(a, b, num_permutations=300)
        scores = [comparison.unit_scores(one) for one in (a, b)]
        effect = significance.effect_size(*scores, num_resamples=200)
        assert (pair.effect.value, pair.effect.low) == pytest.approx((effect.value, effect.low))
    assert compared.clusters["BLEU"] == significance.rank_clusters(
        {name: comparison.unit_scores(row["BLEU"]) for name, row in systems.items()}
    )


def test_holm_is_over_the_pairs_of_one_metric(compared):
    for metric in ("chrF2", "BLEU"):
        pairs = [pair for pair in compared.pairs if pair.metric == metric]
        assert [pair.p_holm for pair in pairs] == significance.holm([pair.p_randomisation for pair in pairs])
        assert [pair.significant for pair in pairs] == [False, True, True]
        assert [pair.better for pair in pairs][1:] == ["good", "near"]
    assert [row.cluster for row in compared.clusters["chrF2"]] == [1, 1, 2]


def test_the_result_is_json(compared):
    read = json.loads(json.dumps(asdict(compared), allow_nan=False))
    assert read["pairs"][0]["effect"]["num_pairs"] == read["num_units"] == read["num_segments"] == 60
    assert read["settings"]["num_permutations"] == 300
    assert "tok:zh" in read["signatures"]["BLEU"]
    assert read["clusters"]["chrF2"][0]["rank_best"] == 1


def test_against_a_baseline(systems, compared):
    found = comparison.compare(systems, Settings(baseline="near", **QUICK))
    assert [(pair.system_a, pair.system_b) for pair in found.pairs] == [("good", "near"), ("bad", "near")] * 2
    assert found.pairs[0].p_randomisation == compared.pairs[0].p_randomisation
    assert [pair.better for pair in found.pairs[:2]] == ["good", "near"]


def test_documents_are_fewer_witnesses(systems, compared):
    documents = [f"d{i // 10}" for i in range(60)]
    found = comparison.compare(systems, Settings(level="document", **QUICK), document_ids=documents)
    assert (found.num_segments, found.num_units) == (60, 6)
    segment, document = compared.pairs[1], found.pairs[1]
    assert (document.value_a, document.delta) == (segment.value_a, segment.delta)
    # Six documents have 2^6 swaps, two of which keep the whole difference.
    assert document.p_randomisation == pytest.approx(2 / 64, abs=0.03) and document.p_randomisation > 1 / 301
    assert segment.p_randomisation == 1 / 301
    assert document.effect.num_pairs == 6
    assert found.clusters["chrF2"][0].num_scores == 6


def test_lower_is_better_for_error_rates():
    found = comparison.compare(
        {"a": _mean(range(20, 40), "TER"), "b": _mean(range(40, 60), "TER"), "c": _mean(range(40, 60), "TER")},
        Settings(**QUICK),
    )
    assert [pair.better for pair in found.pairs] == ["a", "a", None]
    assert [pair.delta for pair in found.pairs] == [-20, -20, 0]
    assert [row.system for row in found.clusters["TER"]] == ["a", "b", "c"]
    upward = comparison.compare({"a": _mean(range(20, 40)), "b": _mean(range(40, 60))}, Settings(**QUICK))
    assert upward.pairs[0].better == "b"


def test_an_undefined_effect_is_null():
    found = comparison.compare({"a": _mean(range(20, 40)), "b": _mean(range(40, 60))}, Settings(**QUICK))
    assert json.loads(json.dumps(asdict(found), allow_nan=False))["pairs"][0]["effect"]["value"] is None


def test_units_are_scored_as_sentences():
    hypotheses, references = ["猫が好き", "雨です。はい", "猫だ"], ["猫が好きだ", "雨でした。はい", "猫だよ"]
    bleu = metrics.bleu_statistics(hypotheses, references, "zh")
    expected = BLEU(tokenize="zh", effective_order=True)
    assert comparison.unit_scores(bleu)[2] > 20  # too short for 4-grams, which would make it 0
    assert comparison.unit_scores(bleu).tolist() == pytest.approx(
        [expected.sentence_score(h, [r]).score for h, r in zip(hypotheses, references, strict=True)], abs=1e-9
    )
    assert comparison.unit_scores(metrics.chrf_statistics(hypotheses, references)).tolist() == pytest.approx(
        [chrf.sentence_chrf(h, r) for h, r in zip(hypotheses, references, strict=True)]
    )


def _row(system, metric, role, **more):
    return {"system": system, "metric": metric, "role": role, "value": 1.0, **more}


def test_a_headline_has_no_metric_that_rewarded_or_selected():
    judged = [_row("sft", "BLEU", "judge"), _row("rl", "BLEU", "judge")]
    scores = [
        _row("sft", "chrF2", "judge"),  # left out too: "sft" alone by chrF2 would be no comparison
        _row("rl", "chrF2", "reward", decoding="greedy"),
        _row("rl", "chrF2", "selector", decoding="mbr"),
        *judged,
        _row("rl", "COMET", "selector"),
    ]
    found = comparison.headline(scores)
    assert found.rows == judged
    assert found.excluded == {"chrF2": "reward of rl/greedy, selector of rl/mbr", "COMET": "selector of rl"}
    assert comparison.headline(judged) == (judged, {})
    assert comparison.headline([]) == ([], {})


@pytest.mark.parametrize(
    "row", [{"system": "a", "metric": "BLEU"}, _row("a", "BLEU", "judged"), _row("a", "BLEU", None)]
)
def test_a_score_without_a_known_role_is_refused(row):
    with pytest.raises(ValueError, match=r"scores\[1\], 'a' by 'BLEU': role: expected one of judge, reward, selector"):
        comparison.headline([_row("b", "BLEU", "judge"), row])


def test_roles_of_a_comparison(systems):
    found = comparison.compare(systems, Settings(**QUICK), roles={"chrF2": {"good": "reward", "bad": "judge"}})
    assert found.headline_metrics == ("BLEU",)
    assert found.excluded == {"chrF2": "reward of good"}
    assert {pair.metric for pair in found.pairs} == {"chrF2", "BLEU"}  # measured all the same
    for roles in ({"chrF": {"good": "reward"}}, {"chrF2": {"best": "reward"}}):
        with pytest.raises(ValueError, match="roles: 'chrF'|roles: 'best'"):
            comparison.compare(systems, Settings(**QUICK), roles=roles)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"level": "paragraph"}, "expected one of segment, document, got 'paragraph'"),
        ({"level": "document"}, "needs document_ids"),
        ({"baseline": "x"}, "baseline 'x' is not among the systems: a, b, c"),
        ({"num_permutations": 59}, r"3 pairs .* 59 permutations: .* below 0\.05, .* at least 120 permutations"),
        ({"alpha": 0.001, "num_permutations": 1000}, "alpha is 0.001"),
    ],
)
def test_settings_that_cannot_be_met(options, message):
    systems = {name: _mean(range(9)) for name in "abc"}
    with pytest.raises(ValueError, match=message):
        comparison.compare(systems, Settings(**QUICK | options))


def test_enough_permutations_are_accepted():
    comparison.compare({name: _mean(range(9)) for name in "abc"}, Settings(num_permutations=60, num_resamples=10))
