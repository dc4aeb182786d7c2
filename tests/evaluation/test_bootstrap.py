"""Bootstrap: statistics that add up to sacreBLEU's scores, intervals and p-values with known answers."""

import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF

from in2x.evaluation import bootstrap, metrics

WORDS = [
    "猫",
    "犬",
    "が",
    "は",
    "を",
    "見た",
    "食べた",
    "走る",
    "好き",
    "です",
    "昨日",
    "今日",
    "とても",
    "、",
    "。",
]


def _corpus(num_segments: int, noise: float, seed: int, reference_seed: int = 0) -> tuple[list[str], list[str]]:
    reference_words, noise_words = random.Random(reference_seed), random.Random(seed)
    references = [reference_words.choices(WORDS, k=reference_words.randint(4, 14)) for _ in range(num_segments)]
    hypotheses = [
        [noise_words.choice(WORDS) if noise_words.random() < noise else word for word in reference]
        for reference in references
    ]
    return ["".join(words) for words in hypotheses], ["".join(words) for words in references]


def _statistics(metric: str, hypotheses: list[str], references: list[str]) -> metrics.SegmentStatistics:
    if metric == "BLEU":
        return metrics.bleu_statistics(hypotheses, references, "ja")
    return metrics.chrf_statistics(hypotheses, references)


def _sacrebleu(metric: str):
    return BLEU(tokenize="ja-mecab") if metric == "BLEU" else CHRF()


def _fake(values) -> metrics.SegmentStatistics:
    """A metric whose corpus score is the mean of one number per segment."""
    counts_NK = np.array([[value, 1] for value in values])
    return metrics.SegmentStatistics("mean", "", counts_NK, (1,), lambda totals: totals[:, 0] / totals[:, 1])


@pytest.mark.parametrize("metric", ["BLEU", "chrF2"])
def test_statistics_add_up_to_the_corpus_score(metric):
    hypotheses, references = _corpus(80, 0.3, seed=1)
    statistics = _statistics(metric, hypotheses, references)
    assert statistics.value == _sacrebleu(metric).corpus_score(hypotheses, [references]).score
    draw = [3, 3, 17, 40, 79]
    resampled = [hypotheses[i] for i in draw], [[references[i] for i in draw]]
    assert statistics.score(statistics.counts_NK[draw].sum(axis=0, keepdims=True))[0] == (
        _sacrebleu(metric).corpus_score(*resampled).score
    )


@pytest.mark.parametrize("metric", ["BLEU", "chrF2"])
def test_interval_agrees_with_sacrebleu(metric):
    # sacreBLEU reports mean and half-width of its own draws; with 1000 of them two seeds agree to about 5%.
    hypotheses, references = _corpus(200, 0.3, seed=1)
    low, high = bootstrap.interval(_statistics(metric, hypotheses, references))
    theirs = _sacrebleu(metric).corpus_score(hypotheses, [references], n_bootstrap=1000)
    assert (high - low) / 2 == pytest.approx(float(theirs._ci), rel=0.15)
    assert (high + low) / 2 == pytest.approx(theirs._mean, abs=0.15 * float(theirs._ci))


def test_interval_of_a_mean_is_the_normal_one():
    # 1000 fair coins: standard error sqrt(0.25 / 1000); 95% is 1.96 of them. B = 4000: about 3% noise.
    low, high = bootstrap.interval(_fake([0, 1] * 500), num_resamples=4000)
    assert (low, high) == pytest.approx((0.5 - 1.96 * 0.0158, 0.5 + 1.96 * 0.0158), abs=0.003)


def test_interval_is_seeded():
    statistics = _statistics("chrF2", *_corpus(50, 0.3, seed=1))
    assert bootstrap.interval(statistics, seed=7) == bootstrap.interval(statistics, seed=7)
    assert bootstrap.interval(statistics, seed=7) != bootstrap.interval(statistics, seed=8)


@pytest.mark.parametrize("metric", ["BLEU", "chrF2"])
def test_paired_comparison_finds_the_better_system(metric):
    better, references = _corpus(150, 0.2, seed=1)
    worse, _ = _corpus(150, 0.4, seed=2)
    a, b = _statistics(metric, better, references), _statistics(metric, worse, references)
    result = bootstrap.paired_bootstrap(a, b)
    assert result.delta == a.value - b.value > 0
    assert 0 < result.low < result.delta < result.high
    assert result.p_value == pytest.approx(2 / 1001)
    assert (result.metric, result.num_segments) == (metric, 150)


def test_paired_comparison_is_antisymmetric():
    texts, references = _corpus(60, 0.3, seed=1)
    others, _ = _corpus(60, 0.32, seed=2)
    a, b = _statistics("chrF2", texts, references), _statistics("chrF2", others, references)
    forth, back = bootstrap.paired_bootstrap(a, b), bootstrap.paired_bootstrap(b, a)
    assert (forth.delta, forth.p_value) == (-back.delta, back.p_value)
    assert (forth.low, forth.high) == pytest.approx((-back.high, -back.low))


def test_equal_systems_do_not_differ():
    statistics = _statistics("BLEU", *_corpus(40, 0.3, seed=1))
    result = bootstrap.paired_bootstrap(statistics, statistics)
    assert (result.delta, result.low, result.high, result.p_value) == (0.0, 0.0, 0.0, 1.0)


def test_pairing_removes_shared_difficulty():
    # B is A plus 1 on every segment: certain when paired, hopeless to see in the two wide intervals.
    values = np.array([0, 100] * 50)
    low, high = bootstrap.interval(_fake(values))
    assert high - low > 10
    result = bootstrap.paired_bootstrap(_fake(values + 1), _fake(values))
    assert (result.delta, result.low, result.high) == pytest.approx((1, 1, 1))
    assert result.p_value == pytest.approx(2 / 1001)


def test_p_value_of_one_lucky_segment():
    # A wins on 1 segment of 2 and ties on the other: draws without the win have probability 1/4, p = 2 * 1/4.
    result = bootstrap.paired_bootstrap(_fake([1, 0]), _fake([0, 0]), num_resamples=4000)
    assert result.p_value == pytest.approx(0.5, abs=0.05)


def test_bad_input():
    hypotheses, references = _corpus(20, 0.3, seed=1)
    a = _statistics("chrF2", hypotheses, references)
    with pytest.raises(ValueError, match="different metrics: 'chrF2' and 'BLEU'"):
        bootstrap.paired_bootstrap(a, _statistics("BLEU", hypotheses, references))
    with pytest.raises(ValueError, match="20 and 19 segments"):
        bootstrap.paired_bootstrap(a, _statistics("chrF2", hypotheses[1:], references[1:]))
    with pytest.raises(ValueError, match="segment 3: .* different references"):
        bootstrap.paired_bootstrap(
            a, _statistics("chrF2", hypotheses, [*references[:3], "まったく別の文です。", *references[4:]])
        )
    with pytest.raises(ValueError, match="num_resamples"):
        bootstrap.interval(a, num_resamples=0)
    with pytest.raises(ValueError, match="confidence"):
        bootstrap.interval(a, confidence=95)
