import pytest

from in2x.evaluation.japanese.translationese import (
    DENSE_WEIGHT,
    MARKERS,
    dense_sentences,
    marker_counts,
    markers,
)  # fmt: skip

EXAMPLES = {
    "ことができる": "泳ぐことができます。", "のうちの一つ": "国のうちの一つ。", "の一つだ": "最大の1つです。",
    "それは": "それは犬です。", "を意味する": "死を意味する。",
    "しかし": "雨だ。しかし行く。", "自身": "彼女自身が来た。", "を持っている": "犬を持っている。",
    "すべての": "すべての人。", "ために": "見るために。", "彼の": "彼らの家。",
    "することを": "参加することを選ぶ。", "人々": "多様な人々。", "そして": "そして雨だ。",
    "非常に": "非常に寒い。", "必要がある": "行く必要があります。",
    "ように見える": "犬のように見える。", "を与える": "水を与える。", "これは": "これは犬だ。",
    "いくつか": "いくつかの犬。", "多くの": "多くの犬。",
    "によって〜れる": "彼によって書かれた。", "最も": "最も寒い。", "ことだ": "夢は行くことです。",
    "なぜなら": "なぜなら雨だから。",
    "のような": "犬のような猫。",
}  # fmt: skip


def test_every_marker_has_an_example():
    assert set(EXAMPLES) == {marker.name for marker in MARKERS}


@pytest.mark.parametrize("name", EXAMPLES)
def test_a_marker_is_found_once_with_its_weight(name):
    found = [f for f in markers([EXAMPLES[name]]) if f.message.startswith(f"{name}:")]
    assert [f.weight for f in found] == [marker.weight for marker in MARKERS if marker.name == name]


@pytest.mark.parametrize(
    "text",
    [
        "だがしかし行く。",
        "私はそして去った。",
        "書店により違う。",
        "`すべての`と書く。",
        "もし雨なら行かないということだ。",
    ],
)
def test_what_only_looks_like_a_marker(text):
    assert markers([text]) == []


def test_one_of_is_counted_once():
    assert marker_counts(["最大の国のうちの1つです。"]) == {"のうちの一つ": 1}


def test_a_sentence_is_dense_when_its_markers_weigh_enough(places):
    segments = ["雨が降った。彼は泳ぐことができるために来た。", "それは犬です。", "多くの人々が来た。"]
    assert places(dense_sentences(segments), segments) == ["彼は泳ぐことができるために来た。"]
    assert 2.0 + 1.7 >= DENSE_WEIGHT > 1.1 + 1.6


def test_one_marker_many_times_is_not_dense():
    assert dense_sentences(["すべての犬とすべての猫とすべての鳥。"]) == []


def test_weights_are_those_of_log2_ratios():
    assert all(0 < marker.weight <= 2 for marker in MARKERS)
