from in2x.evaluation.japanese.pronouns import (
    OVERUSE_MIN,
    REFERENCE_RATE,
    found_pronouns,
    pronoun_chains,
    pronoun_overuse,
    pronoun_you,
    pronouns,
)  # fmt: skip


def test_pronouns_with_family_place_and_role():
    assert found_pronouns("彼はそれらを私に見せた。") == (
        ("彼", 0, 1, True),
        ("それ", 2, 5, False),
        ("私", 6, 7, False),
    )


def test_words_that_contain_a_pronoun_are_none():
    assert found_pronouns("彼岸と私鉄、それぞれとこれから。") == ()
    assert found_pronouns("`彼`と書く。") == ()


def test_every_pronoun_is_listed(places):
    segments = ["雨だ。彼女は来ない。", "あなたも、これも。"]
    assert places(pronouns(segments), segments) == ["彼女", "あなた", "これ"]
    assert places(pronoun_you(segments), segments) == ["あなた"]
    assert {finding.severity for finding in pronouns(segments)} == {"note"}


def test_the_same_subject_twice_running_is_a_chain(places):
    segments = ["彼は起きた。彼は窓を開けた。", "彼の母は寝ていた。", "彼は出た。"]
    found = pronoun_chains(segments)
    assert [(f.segment, f.start) for f in found] == [(0, 6)]


def test_no_chain_over_a_quotation_or_another_subject():
    assert pronoun_chains(["彼は起きた。", "「おはよう」と言った。", "彼は窓を開けた。"]) == []
    assert pronoun_chains(["彼は起きた。", "彼女は窓を開けた。"]) == []
    assert pronoun_chains(["彼を見た。", "彼を呼んだ。"]) == []


def test_overuse_needs_a_rate_and_a_number():
    few = ["彼は来た。私は見た。それは猫だ。"]
    assert len(pronouns(few)) == OVERUSE_MIN - 1 and pronoun_overuse(few) == []
    many = ["彼は来た。私は見た。それは猫だ。彼女は去った。雨だ。風だ。"]
    (found,) = pronoun_overuse(many)
    assert found.message.startswith("4 pronouns in 6 sentences") and found.start == 0
    assert pronoun_overuse([many[0] + "雪だ。"]) == []  # 4 of 7 is below the limit


def test_the_reference_rate_is_that_of_its_families():
    assert abs(REFERENCE_RATE - 0.202) < 0.002  # families are rounded
