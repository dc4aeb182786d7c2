"""Dates, terms and words left over: hand-made pairs, with what each rule can't see."""

import pytest

from in2x.rewards.fidelity import date_fidelity, requested_terms, term_fidelity, translated_share, untranslated_spans
from in2x.rewards.groups import Group


def group(source, target="ja", prompt=""):
    return Group("a", [1], source, None, target, [], prompt=prompt)


@pytest.mark.parametrize(
    ("source", "hypothesis", "score"),
    [
        ("Meet me on March 5, 2020.", "2020年3月5日に会おう。", 1.0),
        ("Meet me on March 5, 2020.", "2021年3月5日に会おう。", 0.0),
        ("Meet me on March 5, 2020.", "3月5日に会おう。", 1.0),
        ("Meet me on 5 March 2020.", "令和2年3月5日に会おう。", 1.0),
        ("It opens on March 20th.", "三月二十日に開く。", 1.0),
        ("It opens on March 20th.", "３月２０日に開く。", 1.0),
        ("Due 2021-12-01.", "期限は2021年12月1日。", 1.0),
        ("Due 3/5/2020.", "期限は2020年5月3日。", 1.0),
        ("Due 3/5/2020.", "期限は2020年5月4日。", 0.0),
        ("It opens on March 5.", "3月6日に開く。", 0.0),
        ("It opens on March 5.", "開く。", 0.0),
        ("It opens.", "3月5日に開く。", 0.0),
        ("On Monday and Friday.", "月曜と金曜に。", 1.0),
        ("On Monday and Friday.", "月曜に。", 2 / 3),
        ("Closed on Sundays.", "日曜定休。", 1.0),
        ("星期三开会。", "The meeting is on Wednesday.", 1.0),
        ("May I come in?", "入ってもいいですか。", 1.0),
        ("I have 3 dogs.", "犬が三匹いる。", 1.0),
    ],
)
def test_dates(source, hypothesis, score):
    assert date_fidelity(source, hypothesis) == pytest.approx(score)


def test_terms_are_read_from_the_prompt_and_looked_for():
    one = group("Tom is here.", prompt="Translate into Japanese (Tom = トム):\nTom is here.")
    assert requested_terms(one) == [("Tom", "トム")]
    assert term_fidelity(one, "トムがいる。") == 1.0 and term_fidelity(one, "ﾄﾑがいる。") == 1.0
    assert term_fidelity(one, "彼がいる。") == 0.0
    assert requested_terms(group("Tom is here.", prompt="Translate into Japanese:\nTom (a = b):\n")) == []


def test_the_prompt_that_is_read_is_the_one_that_is_written():
    from in2x.instruct.prompts import glossary_prompt

    assert requested_terms(group("s", prompt=glossary_prompt("s", "ja", "Los Angeles", "ロス"))) == [
        ("Los Angeles", "ロス")
    ]


def test_words_of_the_source_that_were_left():
    one = group("The dog sleeps in New York, see https://a.example/dog and `dog_list`.")
    text = "dogはNew Yorkで寝る。https://a.example/dog と `dog_list` を参照。"
    assert [(span.start, span.end) for span in untranslated_spans(one, text)] == [(0, 3)]
    assert translated_share(one, "犬は寝る。") == 1.0
    assert translated_share(group("The dog sleeps."), "dogは寝る") == pytest.approx(1 - 3 / 6)
    assert translated_share(one, "123") == 1.0


def test_one_script_on_both_sides_counts_runs_of_four_words():
    one = group("La table est dans la cuisine", target="en")
    assert translated_share(one, "The table is in the kitchen") == 1.0
    left = untranslated_spans(one, "The table est dans la cuisine")
    assert [span.reason for span in left] == [
        f"untranslated {word!r}" for word in ("table", "est", "dans", "la", "cuisine")
    ]
