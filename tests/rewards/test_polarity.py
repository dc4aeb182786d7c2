"""Negation on both sides, on one, and where a rule can't tell."""

import pytest

from in2x.rewards.groups import Group
from in2x.rewards.polarity import can_tell, expected_polarity, negates, polarity_fidelity, polarity_score


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("彼は行かない。", True), ("彼は行かなかった。", True), ("彼は行きません。", True), ("行くな。", True),
        ("何も食べずに寝た。", True), ("それは本ではない。", True), ("誰も知らぬ。", True), ("それは不可能だ。", True),
        ("高くないので買った。", True), ("彼は行く。", False), ("行かなければならない。", False),
        ("来るかもしれない。", False),
        ("きれいな花だ。", False), ("一緒に行きませんか。", False), ("すみません、駅はどこですか。", False),
        ("彼に違いない。", False), ("静かな夜だ。", False), ("つまらない話だ。", False), ("花が咲いたなあ。", False),
    ],
)  # fmt: skip
def test_what_negates(text, expected):
    assert negates(text) is expected


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        ("He does not go.", "彼は行かない。", 1.0),
        ("He does not go.", "彼は行く。", 0.0),
        ("He goes.", "彼は行く。", 1.0),
        ("He goes.", "彼は行かない。", 0.0),
        ("I’ve never seen it.", "見たことがある。", 0.0),
        ("He must go.", "彼は行かなければならない。", None),
        ("Don't you go?", "行かないの？", None),
        ("He is unable to go.", "彼は行けない。", None),
    ],
)
def test_polarity_is_that_of_the_source_where_it_can_be_told(source, text, expected):
    assert polarity_fidelity(source, text) == expected


def test_a_prompt_is_measured_from_english_into_japanese_alone():
    def group(source, **changes):
        return Group(
            "a", [], source, None, **{"target_language": "ja", "source_language": "en", "completions": []} | changes
        )

    plain = group("He does not go.")
    assert can_tell(plain) and polarity_score(plain, "彼は行く。") == 0
    assert not can_tell(group("He must go.")) and not can_tell(group("He goes.", target_language="zh"))
    assert not can_tell(group("Er geht nicht.", source_language="de"))


@pytest.mark.parametrize(
    ("source", "reference", "expected"),
    [
        ("He goes.", None, False), ("He goes.", "", False), ("He does not go.", "彼は行かない。", True),
        ("He goes.", "彼は行く。", False), ("He must go.", "彼は行かなければならない。", False),
        ("He is unable to go.", "彼は行けない。", True), ("He is unable to go.", None, None),
        ("Remember it.", "忘れるな。", False), ("It is not far.", "近い。", True), ("Do you go?", "行かないの？", True),
    ],
)  # fmt: skip
def test_the_reference_decides_where_the_source_leaves_it_open(source, reference, expected):
    assert expected_polarity(source, reference) is expected


def test_a_component_reads_the_group_s_reference():
    group = Group("a", [], "He is unable to go.", "彼は行けない。", "ja", [], source_language="en")
    assert can_tell(group)
    assert (polarity_score(group, "彼は行かない。"), polarity_score(group, "彼は行ける。")) == (1.0, 0.0)
    assert not can_tell(Group("a", [], "He is unable to go.", None, "ja", [], source_language="en"))
