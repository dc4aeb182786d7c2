"""Offline scores: sacreBLEU's numbers, segment by segment and of the corpus, the rules, and what has no score."""

import pytest
from sacrebleu.metrics import BLEU, CHRF, TER

from in2x.artifacts import In2xError
from in2x.evaluation import scores, store

SOURCES = ["I like cats.", "It rained 3 times.", "Kyle went home.", "Bye."]
REFERENCES = [["猫が好きです。", "猫を好みます。"], ["雨が3回降りました。", "3回雨だった。"],
              ["カイルは家に帰った。", "カイルは帰宅した。"],
              ["じゃあね。", "さようなら。"]]  # fmt: skip
SYSTEMS = {
    "good": ["猫が好きです。", "雨が三回降りました。", "カイルは家に帰りました。", "さようなら。"],
    "poor": ["私は犬が好き", "雨が5回降った。", "ブライアンは家に帰った。", ""],
    "copy": SOURCES,
}
PEERS = {
    "BLEU": (BLEU(tokenize="ja-mecab"), BLEU(tokenize="ja-mecab", effective_order=True)),
    "chrF2": (CHRF(), CHRF()),
    "chrF++": (CHRF(word_order=2), CHRF(word_order=2)),
    "TER": (TER(normalized=True, asian_support=True), TER(normalized=True, asian_support=True)),
}


def make_store(references=REFERENCES, pair="en-ja", systems=SYSTEMS, sources=SOURCES):
    rows = [
        {"pair": pair, "segment": str(n), "system": system, "source": sources[n], "hypothesis": texts[n],
         "references": references[n]}
        for n in range(len(sources))
        for system, texts in systems.items()
    ]  # fmt: skip
    return store.from_rows(list(enumerate(rows, 1)), "rows")


def of(found, system, metric):
    return next(score for score in found if (score.system, score.metric) == (system, metric))


def values(frame, system, metric):
    return frame.filter(system=system)[f"score.{metric}"].to_list()


@pytest.mark.parametrize("num_references", [1, 2])
@pytest.mark.parametrize("metric", list(PEERS))
def test_numbers_and_signatures_are_sacrebleus(metric, num_references):
    references = [texts[:num_references] for texts in REFERENCES]
    frame, found = scores.score_store(make_store(references), [metric])
    corpus, sentence = PEERS[metric]
    for system, texts in SYSTEMS.items():
        streams = [[texts[k] for texts in references] for k in range(num_references)]
        score = of(found, system, metric)
        assert score.value == pytest.approx(corpus.corpus_score(texts, streams).score, abs=1e-9)
        assert score.signature == str(corpus.get_signature())
        expected = [sentence.sentence_score(text, own).score for text, own in zip(texts, references, strict=True)]
        assert values(frame, system, metric) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "pair, tokenizer, asian", [("en-ja", "ja-mecab", "yes"), ("ja-zh", "zh", "yes"), ("ja-en", "13a", "no")]
)
def test_languages_choose_the_tokenizer(pair, tokenizer, asian):
    _, found = scores.score_store(make_store(pair=pair), ["BLEU", "TER"])
    assert f"|tok:{tokenizer}" in of(found, "good", "BLEU").signature
    assert f"asian:{asian}" in of(found, "good", "TER").signature


def test_rules():
    frame, found = scores.score_store(make_store())
    assert store.metrics(frame) == list(scores.SCORES)
    assert values(frame, "good", "exact-match") == [1.0, 0.0, 0.0, 1.0]
    assert values(frame, "copy", "copy-rate") == [1.0, 1.0, 1.0, 0.0]  # one short word may stay as it is
    assert values(frame, "good", "copy-rate") == [0.0] * 4
    assert values(frame, "copy", "target-language") == [0.0] * 4
    assert values(frame, "poor", "target-language") == [1.0, 1.0, 1.0, 0.0]  # empty: in no language
    assert values(frame, "good", "number-fidelity") == [1.0] * 4
    assert values(frame, "poor", "number-fidelity") == [1.0, 0.0, 1.0, 1.0]
    assert values(frame, "good", "name-fidelity") == [None, None, 1.0, None]
    assert values(frame, "poor", "name-fidelity") == [None, None, 0.0, None]
    assert of(found, "poor", "number-fidelity").value == 0.75
    names = of(found, "poor", "name-fidelity")
    assert (names.value, names.num_segments, names.num_given) == (0.0, 1, 4)
    assert names.signature.startswith("name-fidelity|source:en|target:ja|version:in2x-")


def test_a_source_inside_a_longer_answer_is_a_copy():
    source = "The quick brown fox jumps over the lazy dog."
    systems = {
        "A": [
            "もちろんです。ご依頼の文章を以下に翻訳いたしますので、どうぞご確認くださいませ。よろしくお願いいたします。"
            + source
        ]
    }
    frame, _ = scores.score_store(make_store([[]], systems=systems, sources=[source]), ["copy-rate"])
    assert values(frame, "A", "copy-rate") == [1.0]


def test_length_ratio_hand_computed():
    # Nearest reference: 4 of (4, 9), then 6 of (6) and a tie of 2 and 4 around 3, where the shorter counts.
    systems = {"A": ["ab c d e", "abc", "abc", "abc"]}
    references = [["wxyz", "abcdefghi"], ["uvwxyz"], ["abcd", "ab"], ["", " "]]
    frame, found = scores.score_store(make_store(references, systems=systems), ["length-ratio"])
    assert values(frame, "A", "length-ratio") == [5 / 4, 0.5, 1.5, None]
    assert of(found, "A", "length-ratio").value == (5 + 3 + 3) / (4 + 6 + 2)


def test_segments_without_reference_have_no_score():
    references = [REFERENCES[0], [], REFERENCES[2][:1], []]
    frame, found = scores.score_store(make_store(references), ["BLEU", "number-fidelity"])
    assert [value is None for value in values(frame, "good", "BLEU")] == [False, True, False, True]
    score = of(found, "good", "BLEU")
    streams = [[REFERENCES[0][0], REFERENCES[2][0]], [REFERENCES[0][1], None]]
    hypotheses = [SYSTEMS["good"][0], SYSTEMS["good"][2]]
    assert score.value == pytest.approx(PEERS["BLEU"][0].corpus_score(hypotheses, streams).score)
    assert (score.num_segments, score.num_given) == (2, 4)
    assert score.signature.startswith("nrefs:var")
    assert None not in values(frame, "good", "number-fidelity")


def test_a_pair_without_references_beside_one_that_has_them():
    first, second = make_store(), make_store([[]] * 4, pair="en-zh")
    frame, found = scores.score_store(first.vstack(second), ["chrF2"])
    assert frame.filter(pair="en-zh")["score.chrF2"].null_count() == 12
    assert [(score.value is None, score.num_segments) for score in found] == [(False, 4)] * 3 + [(True, 0)] * 3


def test_without_references_the_rest_is_scored():
    frame, _ = scores.score_store(make_store([[]] * 4))
    assert store.metrics(frame) == ["copy-rate", "target-language", "number-fidelity"]
    with pytest.raises(In2xError, match="BLEU needs references, and the store has none; without there are copy-rate"):
        scores.score_store(make_store([[]] * 4), ["BLEU"])


def test_scores_are_replaced_and_rows_kept():
    frame = store.add_scores(make_store(), "exact-match", [0.5] * 12)
    scored, _ = scores.score_store(frame, ["exact-match"])
    assert scored.drop("score.exact-match").equals(make_store())
    assert scored["score.exact-match"].to_list() == [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "names, pair, message",
    [
        (["bleu"], "en-ja", r"unknown score 'bleu'; did you mean 'BLEU'\? Known are BLEU, chrF2"),
        (["copy-rate"], "en-tlh", "copy-rate: target language 'tlh': no script known"),
    ],
)
def test_what_cannot_be_scored(names, pair, message):
    with pytest.raises(In2xError, match=message):
        scores.score_store(make_store(pair=pair), names)


def test_missing_tokenizer(monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ko_mecab.MeCab", None)
    with pytest.raises(In2xError, match=r"needs the ko-mecab tokenizer: pip install 'sacrebleu\[ko\]'"):
        scores.score_store(make_store(pair="en-ko"), ["BLEU"])


def test_table_says_what_values_are_possible():
    frame, found = scores.score_store(make_store())
    for name, row in scores.SCORES.items():
        given = [value for value in frame[f"score.{name}"] if value is not None]
        assert min(given) >= row.low
        assert row.high is None or max(given) <= row.high + 1e-9
        best = of(found, "good", name).value, of(found, "poor", name).value
        if row.higher_is_better is not None and best[0] != best[1]:
            assert (best[0] > best[1]) == row.higher_is_better
