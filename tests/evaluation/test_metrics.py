"""Corpus metrics: sacreBLEU's numbers, signatures and tokenizers; errors that say what is wrong."""

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from in2x.evaluation import metrics

HYPOTHESES = [
    "猫が好きです。",
    "昨日は雨が降りました。",
    "彼は学校に行きました。",
    "とても面白い映画だった。",
]
REFERENCES = ["猫が好きだ。", "昨日は雨でした。", "彼は学校へ行きました。", "すごく面白い映画でした。"]
HYPOTHESES_EN = ["The cat sat on the mat.", "It rained a lot yesterday.", "Hello, world!"]
REFERENCES_EN = ["The cat is on the mat.", "It rained heavily yesterday.", "Hello, world!"]


def test_bleu_of_japanese_is_mecab_bleu():
    score = metrics.corpus_bleu(HYPOTHESES, REFERENCES, "ja")
    assert score.value == BLEU(tokenize="ja-mecab").corpus_score(HYPOTHESES, [REFERENCES]).score
    assert score.value != BLEU(tokenize="13a").corpus_score(HYPOTHESES, [REFERENCES]).score
    assert "tok:ja-mecab" in score.signature and "nrefs:1" in score.signature
    assert (score.metric, score.num_segments) == ("BLEU", 4)
    assert score.low <= score.value <= score.high


def test_bleu_of_english_hand_computed():
    # 13a: "a b c d e" / "a b c d f": precisions 4/5, 3/4, 2/3, 1/2, no brevity penalty.
    score = metrics.corpus_bleu(["a b c d e"], ["a b c d f"], "en", num_resamples=0)
    assert score.value == pytest.approx(100 * (4 / 5 * 3 / 4 * 2 / 3 * 1 / 2) ** 0.25)
    assert (score.low, score.high) == (None, None)


def test_chrf_equals_sacrebleu():
    score = metrics.corpus_chrf(HYPOTHESES, REFERENCES)
    expected = CHRF()
    assert score.value == expected.corpus_score(HYPOTHESES, [REFERENCES]).score
    assert score.signature == str(expected.get_signature())
    assert score.low <= score.value <= score.high


def test_perfect_and_empty_hypotheses():
    assert metrics.corpus_bleu(REFERENCES, REFERENCES, "ja").low == pytest.approx(100)
    assert metrics.corpus_bleu([""] * 4, REFERENCES, "ja").value == 0.0
    assert metrics.corpus_chrf([""] * 4, REFERENCES).high == 0.0


@pytest.mark.parametrize(
    "language, tokenizer",
    [
        ("ja", "ja-mecab"),
        ("ja_JP", "ja-mecab"),
        ("zh-Hant", "zh"),
        ("ko", "ko-mecab"),
        ("en", "13a"),
        ("de", "13a"),
    ],
)
def test_tokenizer_of_language(language, tokenizer):
    assert metrics.tokenizer_for(language) == tokenizer


def test_missing_tokenizer_names_the_extra(monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ko_mecab.MeCab", None)
    with pytest.raises(RuntimeError, match=r"ko-mecab tokenizer: pip install 'sacrebleu\[ko\]'"):
        metrics.corpus_bleu(["안녕"], ["안녕"], "ko")


@pytest.mark.parametrize("score", [metrics.corpus_chrf, lambda h, r: metrics.corpus_bleu(h, r, "ja")])
@pytest.mark.parametrize(
    "hypotheses, references, message",
    [
        ([], [], "no segments"),
        (["a", "b"], ["a"], "2 hypotheses but 1 references"),
        ("abc", ["a"], "hypotheses: expected a list"),
        (["a"], [["a"]], r"references\[0\]: expected a string, got list"),
        (["a", None], ["a", "b"], r"hypotheses\[1\]: expected a string, got NoneType"),
    ],
)
def test_bad_input(score, hypotheses, references, message):
    with pytest.raises(ValueError, match=message):
        score(hypotheses, references)


def test_empty_language_is_an_error():
    with pytest.raises(ValueError, match="BCP 47"):
        metrics.corpus_bleu(["a"], ["a"], "")


MULTIPLE = [
    ["猫が好きだ。", "猫を好む。"],
    ["昨日は雨でした。"],
    ["彼は学校へ行きました。", "彼は学校へ行った。"],
    [""],
]


@pytest.mark.parametrize("language, is_asian", [("ja", True), ("zh", True), ("en", False)])
def test_ter_equals_sacrebleu(language, is_asian):
    expected = TER(normalized=is_asian, asian_support=is_asian)
    statistics = metrics.ter_statistics(HYPOTHESES, REFERENCES, language)
    assert statistics.value == expected.corpus_score(HYPOTHESES, [REFERENCES]).score
    assert statistics.signature == str(expected.get_signature())
    assert ("asian:yes" in statistics.signature) == is_asian
    assert statistics.reference_columns == (1,)
    segments = [
        expected.sentence_score(*pair).score for pair in zip(HYPOTHESES, [[r] for r in REFERENCES], strict=True)
    ]
    assert statistics.score(statistics.counts_NK).tolist() == segments


def test_ter_hand_computed():
    # One substitution in three words; the second hypothesis is empty: two deletions. Then a shift of two words: 1 edit.
    statistics = metrics.ter_statistics(["a b x", "", "c d a b"], ["a b c", "a b", "a b c d"], "en")
    assert statistics.counts_NK.tolist() == [[1, 3], [2, 2], [1, 4]]
    assert statistics.value == pytest.approx(100 * 4 / 9)


def test_ter_without_reference_words():
    statistics = metrics.ter_statistics(["a", ""], ["", ""], "en")
    assert statistics.score(statistics.counts_NK).tolist() == [100.0, 0.0]


@pytest.mark.parametrize("name", ["BLEU", "chrF2", "chrF++", "TER"])
def test_several_references_as_in_sacrebleu(name):
    reference_metrics = {
        "BLEU": BLEU(tokenize="ja-mecab"), "chrF2": CHRF(), "chrF++": CHRF(word_order=2),
        "TER": TER(normalized=True, asian_support=True),
    }  # fmt: skip
    expected = reference_metrics[name]
    streams = [[texts[k] if k < len(texts) else None for texts in MULTIPLE] for k in range(2)]
    statistics = metrics.multi_reference_statistics(name, HYPOTHESES, MULTIPLE, "ja")
    assert statistics.value == pytest.approx(expected.corpus_score(HYPOTHESES, streams).score, abs=1e-9)
    assert statistics.signature == str(expected.get_signature())
    assert statistics.signature.startswith("nrefs:var")
    assert statistics.reference_columns == ()


@pytest.mark.parametrize(
    "name, alone", [("BLEU", lambda h, r: metrics.bleu_statistics(h, r, "ja")), ("chrF2", metrics.chrf_statistics)]
)
def test_one_reference_is_a_case_of_several(name, alone):
    single = alone(HYPOTHESES, REFERENCES)
    several = metrics.multi_reference_statistics(name, HYPOTHESES, [[text] for text in REFERENCES], "ja")
    assert several.counts_NK.tolist() == single.counts_NK.tolist()
    assert (several.signature, several.reference_columns) == (single.signature, single.reference_columns)
    assert several.value == single.value


@pytest.mark.parametrize(
    "name, references, message",
    [
        ("BLEU", [["a"], []], r"references\[1\]: expected at least one"),
        ("TER", [["a"]], "2 hypotheses but 1 references"),
        ("chrF3", [["a"], ["b"]], "expected BLEU, chrF2, chrF[+][+] or TER, got 'chrF3'"),
    ],
)
def test_bad_references(name, references, message):
    with pytest.raises(ValueError, match=message):
        metrics.multi_reference_statistics(name, ["a", "b"], references, "en")
