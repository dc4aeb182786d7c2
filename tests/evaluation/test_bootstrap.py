"""Bootstrap: statistics that add up to sacreBLEU's scores, intervals and p-values with known answers."""

import random

import numpy as np
import pytest
from sacrebleu.metrics import BLEU, CHRF
from sacrebleu.significance import PairedTest

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
    expected = _sacrebleu(metric).corpus_score(hypotheses, [references]).score
    assert statistics.value == pytest.approx(expected, abs=1e-9)
    draw = [3, 3, 17, 40, 79]
    resampled = [hypotheses[i] for i in draw], [[references[i] for i in draw]]
    assert statistics.score(statistics.counts_NK[draw].sum(axis=0, keepdims=True))[0] == pytest.approx(
        _sacrebleu(metric).corpus_score(*resampled).score, abs=1e-9
    )


@pytest.mark.parametrize("effective_order", [False, True])
def test_bleu_of_counts_equals_sacrebleu(effective_order):
    # Empty and short texts, no match of some orders, longer and shorter than the reference; then large totals.
    draw = np.random.default_rng(1)
    rows = []
    for longest in [6] * 150 + [5000] * 50:
        length, reference_length = draw.integers(0, longest, size=2)
        possible = np.maximum(length - np.arange(4), 0)
        matches = np.minimum.accumulate(draw.integers(0, possible + 1))
        rows.append([length, reference_length, *matches, *possible])
    metric = BLEU(tokenize="none", effective_order=effective_order)
    expected = [metric._compute_score_from_stats([int(value) for value in row]).score for row in rows]
    assert 20 < np.count_nonzero(expected) < 200
    found = metrics.bleu_scores(np.array(rows), effective_order=effective_order)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("language, tokenizer", [("ja", "ja-mecab"), ("en", "13a")])
def test_bleu_counts_are_sacrebleus_row_by_row(monkeypatch, language, tokenizer):
    hypotheses, references = _corpus(30, 0.3, seed=1)
    hypotheses += ["", " 猫 ", "a b a b a b c", "the end . the end ."]
    references += ["犬", "猫", "a b a b", "the end. the end. the end."]
    monkeypatch.setattr(metrics, "CHUNK_SEGMENTS", 8)
    found = metrics.bleu_statistics(hypotheses, references, language)
    expected = BLEU(tokenize=tokenizer)
    assert found.counts_NK.tolist() == expected._extract_corpus_statistics(hypotheses, [references])
    assert found.signature == str(expected.get_signature())


def test_a_corpus_too_short_for_4_grams_scores_0_as_in_sacrebleu():
    texts = ["a b", "c d e"]
    assert BLEU().corpus_score(texts, [texts]).score == metrics.bleu_statistics(texts, texts, "en").value == 0


def test_bleu_of_counts_of_the_wrong_shape():
    with pytest.raises(ValueError, match=r"10 counts on the last axis, got shape \(3, 18\)"):
        metrics.bleu_scores(np.zeros((3, 18)))


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


def test_draws_are_those_of_sacrebleu_whatever_the_block_size(monkeypatch):
    indices = np.random.default_rng(7).choice(50, size=(30, 50), replace=True)
    expected = [np.bincount(row, minlength=50).tolist() for row in indices]
    for cells in (1, 150, 10**6):
        monkeypatch.setattr(bootstrap, "BLOCK_CELLS", cells)
        assert np.concatenate(list(bootstrap.multiplicities(50, 30, seed=7))).tolist() == expected


@pytest.mark.parametrize("metric", ["BLEU", "chrF2"])
def test_sacrebleus_definition_gives_sacrebleus_p_value(metric):
    # Same draws; sacreBLEU computes in float32, so a draw on the very edge may fall on the other side.
    baseline, references = _corpus(120, 0.30, seed=1)
    systems = {"near": _corpus(120, 0.30, seed=4)[0], "far": _corpus(120, 0.40, seed=3)[0]}
    named = [("base", baseline), *systems.items()]
    _, theirs = PairedTest(named, {metric: _sacrebleu(metric)}, [references], test_type="bs", n_samples=300)()
    ours = bootstrap.paired_bootstraps(
        {name: {metric: _statistics(metric, texts, references)} for name, texts in named},
        baseline="base",
        num_resamples=300,
        definition="sacrebleu",
    )
    (results,) = (rows for name, rows in theirs.items() if name != "System")
    for name, result in zip(systems, results[1:], strict=True):
        assert ours[metric, name, "base"].p_value == pytest.approx(result.p_value, abs=1.5 / 301)
    p_values = [result.p_value for result in results[1:]]
    assert p_values[0] > 0.05 > p_values[1]


def test_many_systems_are_compared_as_two_are():
    references = _corpus(40, 0.3, seed=1)[1]
    systems = {
        name: {
            metric: _statistics(metric, _corpus(40, noise, seed=seed)[0], references) for metric in ("chrF2", "BLEU")
        }
        for name, noise, seed in [("a", 0.2, 1), ("b", 0.3, 2), ("c", 0.4, 3)]
    }
    found = bootstrap.paired_bootstraps(systems, num_resamples=200)
    assert list(found) == [(metric, *pair) for metric in ("chrF2", "BLEU") for pair in ("ab", "ac", "bc")]
    for (metric, a, b), comparison in found.items():
        alone = bootstrap.paired_bootstrap(systems[a][metric], systems[b][metric], num_resamples=200)
        assert comparison == alone
    against = bootstrap.paired_bootstraps(systems, baseline="b", num_resamples=200)
    assert list(against) == [(metric, system, "b") for metric in ("chrF2", "BLEU") for system in "ac"]
    assert against["BLEU", "a", "b"] == found["BLEU", "a", "b"]


def test_documents_are_the_unit():
    # Segments of a document agree: 4 documents of 25 equal segments are 4 witnesses, not 100.
    values = np.repeat([0, 10, 20, 30], 25)
    documents = np.repeat(["d", "b", "a", "c"], 25).tolist()
    statistics = bootstrap.by_document(_fake(values), documents)
    assert statistics.counts_NK.tolist() == [[0, 25], [250, 25], [500, 25], [750, 25]]  # in order of appearance
    assert statistics.value == _fake(values).value == 15
    low, high = bootstrap.interval(statistics)
    assert high - low > 4 * np.subtract(*reversed(bootstrap.interval(_fake(values))))
    scattered = bootstrap.by_document(_fake([1, 2, 3, 4]), ["x", "y", "x", "y"])
    assert scattered.counts_NK.tolist() == [[4, 2], [6, 2]]


def test_sums_are_exact_in_the_type_chosen():
    assert bootstrap.exact_floats(np.array([[3, 5]] * 4)).dtype == np.float32
    assert bootstrap.exact_floats(np.array([[3.0, 5.0]] * 4)).dtype == np.float32
    assert bootstrap.exact_floats(np.array([[3.5, 5.0]] * 4)).dtype == np.float64
    assert bootstrap.exact_floats(np.array([[2**22]] * 4)).dtype == np.float64
    large = _fake([2**22 + 1] * 8)
    assert bootstrap.interval(large, num_resamples=20) == (2**22 + 1, 2**22 + 1)


def test_bad_systems():
    a = {"mean": _fake([1, 2, 3])}
    with pytest.raises(ValueError, match="at least two systems"):
        bootstrap.paired_bootstraps({"a": a})
    with pytest.raises(ValueError, match="baseline 'c' is not among the systems: a, b"):
        bootstrap.paired_bootstraps({"a": a, "b": a}, baseline="c")
    with pytest.raises(ValueError, match=r"system 'b' has metrics \['other'\], but 'a' has \['mean'\]"):
        bootstrap.paired_bootstraps({"a": a, "b": {"other": a["mean"]}})
    with pytest.raises(ValueError, match="'a' and 'b', mean: systems scored on 3 and 2 segments"):
        bootstrap.paired_bootstraps({"a": a, "b": {"mean": _fake([1, 2])}})
    with pytest.raises(ValueError, match="definition: expected one of two-sided, sacrebleu, got 'one-sided'"):
        bootstrap.paired_bootstrap(a["mean"], a["mean"], definition="one-sided")
    with pytest.raises(ValueError, match=r"statistics of \[2, 3\] segments"):
        bootstrap.resampled_scores([_fake([1, 2]), _fake([1, 2, 3])])
    with pytest.raises(ValueError, match="2 document ids for 3 segments"):
        bootstrap.by_document(a["mean"], ["x", "y"])
    with pytest.raises(ValueError, match="segment 1 has no document id"):
        bootstrap.by_document(a["mean"], ["x", None, "y"])


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
