"""Final answers: where they are found, what counts as the same, and what is refused."""

from fractions import Fraction

import pytest

from in2x.rewards.answers import correct, final_answer, parse_number, same_answer, well_formed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("Two and two.\nAnswer: 4", "4"),
        ("**Answer:** 4", "4"),
        ("the final answer is: 4", "4"),
        ("計算すると、\n答え：4", "4"),
        ("答えは 4", "4"),
        ("so\n#### 1,234", "1,234"),
        (r"hence \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"Answer: 5, that is \boxed{5}", "5"),
        (r"\boxed{4} and again \boxed{4.0}", "4"),
        ("Answer: 4\nAnswer: 5", None),
        (r"\boxed{4} or \boxed{5}", None),
        ("It is 4.", None),
        ("Answer:", None),
        (r"\boxed{4", None),
        ("", None),
    ],
)
def test_the_final_answer(text, answer):
    assert final_answer(text) == answer
    assert well_formed(text) == (answer is not None)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("42", 42), ("-3", -3), ("−3", -3), ("１２", 12), ("1,234.5", Fraction(2469, 2)), (".5", Fraction(1, 2)),
        ("3/4", Fraction(3, 4)), ("-3/4", Fraction(-3, 4)), ("1 1/2", Fraction(3, 2)), (r"\frac{3}{4}", Fraction(3, 4)),
        (r"-\dfrac{3}{4}", Fraction(-3, 4)), ("50%", Fraction(1, 2)), (r"50\%", Fraction(1, 2)), ("$12", 12),
        ("12 km", 12), ("12個", 12), (r"12\text{ cm}", 12), ("1.5 × 10^3", 1500),
        (r"2 \times 10^{-2}", Fraction(1, 50)),
        ("1e3", 1000), ("12.", 12), ("$7$", 7),
    ],
)  # fmt: skip
def test_numbers_are_read_exactly(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    "text", ["", "four", "1/0", "1.2.3", "12,34", "9" * 61, "1e9999", "__import__('os')", "2**9", "x"]
)
def test_what_is_no_number(text):
    assert parse_number(text) is None


def test_a_tenth_is_a_tenth():
    assert correct("Answer: 0.1", "1/10") == 1.0
    assert correct("Answer: 0.1000001", "1/10") == 0.0
    assert correct("Answer: 10%", "0.1") == 1.0


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        ("B", "B", True), ("(b)", "B", True), ("B. because it is so", "B", True), (r"\text{B}", "(B)", True),
        ("Ａ", "A", True), ("選択肢イ", "イ", True), ("C", "B", False), ("Because", "B", False), ("AB", "B", False),
        ("Paris.", "paris", True), ("New  York", "new york", True), ("London", "Paris", False), ("12", "twelve", False),
    ],
)  # fmt: skip
def test_choices_and_texts(answer, reference, same):
    assert same_answer(answer, reference) is same


def test_naming_every_choice_is_no_answer():
    assert correct("Answer: A\nAnswer: B\nAnswer: C", "B") == 0.0
    assert correct("Answer: B", "B") == 1.0
