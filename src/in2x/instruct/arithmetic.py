"""Word problems with whole numbers in English and Japanese, made up: problem, steps, and an answer that can be checked.

A kind of problem is a row of KINDS: the same story in both languages, how its numbers are drawn so that every result is
a positive whole number, and its steps. Steps are computed, never written by hand; the last result is the answer. How
hard a problem is goes by its number of steps and the size of its numbers (LEVELS). No problem, a kind with its numbers,
is made twice, in whatever language or words: what RL gets, SFT never sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from in2x.instruct.prompts import problem_prompt

Range = Callable[[], int]
Step = tuple[str, str, str]
ANSWER = {"en": "Answer: {}", "ja": "答え：{}"}
ATTEMPTS = 200
"""Draws in vain, one after the other, after which a level counts as used up."""

LEVELS: dict[str, tuple[tuple[int, ...], int]] = {
    "very-simple": ((1,), 10),
    "simple": ((1,), 99),
    "moderate": ((2,), 20),
    "difficult": ((2,), 99),
    "very-difficult": ((3, 4), 99),
}
"""Numbers of steps, and the largest number that is drawn."""

NAMES = (("Ken", "健"), ("Yuki", "由紀"), ("Tom", "トム"), ("Mary", "メアリー"), ("Emi", "恵美"), ("Bob", "ボブ"))
ITEMS = (
    ("apples", "りんご", "個"), ("books", "本", "冊"), ("pencils", "鉛筆", "本"), ("stamps", "切手", "枚"),
    ("eggs", "卵", "個"), ("cards", "カード", "枚"), ("roses", "ばら", "本"), ("balls", "ボール", "個"),
)  # fmt: skip


@dataclass(frozen=True)
class Kind:
    """A story. `numbers` draws a, b, c, ... with a function that gives a number from 2 to the level's largest.

    A step is (left, operator, right): letters are the story's numbers, "1", "2", ... results of earlier steps, and
    other operands stand for themselves in quotes ("'3"). English and Japanese have the same fields: {a}, {name}, ...
    """

    numbers: Callable[[Range], tuple[int, ...]]
    steps: tuple[Step, ...]
    en: str
    ja: str


KINDS: dict[str, Kind] = {
    "more": Kind(
        lambda n: (n(), n()), (("a", "+", "b"),),
        "{name} has {a} {items} and gets {b} more. How many {items} does {name} have now?",
        "{name}は{items}を{a}{counter}持っていて、あと{b}{counter}もらいました。今、{items}は何{counter}ありますか。",
    ),
    "less": Kind(
        lambda n: ((b := n()) + n(), b), (("a", "-", "b"),),
        "{name} had {a} {items} and gave away {b}. How many {items} are left?",
        "{name}は{items}を{a}{counter}持っていて、{b}{counter}あげました。{items}は何{counter}残っていますか。",
    ),
    "boxes": Kind(
        lambda n: (n(), n()), (("a", "×", "b"),),
        "There are {a} boxes with {b} {items} in each. How many {items} are there?",
        "{items}が{b}{counter}ずつ入った箱が{a}箱あります。{items}は全部で何{counter}ありますか。",
    ),
    "shared": Kind(
        lambda n: ((b := n()) * n(), b), (("a", "÷", "b"),),
        "{a} {items} are shared equally among {b} people. How many {items} does each of them get?",
        "{items}{a}{counter}を{b}人で同じ数ずつ分けます。一人分は何{counter}ですか。",
    ),
    "boxes-and-single": Kind(
        lambda n: (n(), n(), n()), (("a", "×", "b"), ("1", "+", "c")),
        "{name} buys {a} boxes of {b} {items} each, and {c} single {items}. How many {items} does {name} buy?",
        "{name}は{b}{counter}入りの{items}を{a}箱と、ばらで{c}{counter}買いました。{items}は全部で何{counter}ですか。",
    ),
    "change": Kind(
        lambda n: ((a := n()), (b := n()), a * b + n()), (("a", "×", "b"), ("c", "-", "1")),
        "One ticket costs {a} yen. {name} buys {b} tickets and pays with {c} yen. How many yen does {name} get back?",
        "切符は一枚{a}円です。{name}は{b}枚買って{c}円を出しました。おつりは何円ですか。",
    ),
    "teams": Kind(
        lambda n: ((a := n()), (c := n()) * (a // c + n()) - a, c), (("a", "+", "b"), ("1", "÷", "c")),
        "{a} girls and {b} boys form teams of {c}. How many teams are there?",
        "女の子{a}人と男の子{b}人が{c}人ずつの組を作ります。組はいくつできますか。",
    ),
    "guess": Kind(
        lambda n: ((a := n()), (b := n()), a * n() + b), (("c", "-", "b"), ("1", "÷", "a")),
        "{name} multiplies a number by {a}, adds {b} and gets {c}. What is the number?",
        "{name}がある数に{a}をかけて{b}を足すと、{c}になりました。ある数はいくつですか。",
    ),
    "days": Kind(
        lambda n: (n(), n(), n(), n()), (("a", "×", "b"), ("c", "×", "d"), ("1", "+", "2")),
        "{name} reads {a} pages a day for {b} days, and then {c} pages a day for {d} days. How many pages is that?",
        "{name}は一日{a}ページずつ{b}日、それから一日{c}ページずつ{d}日、本を読みました。全部で何ページですか。",
    ),
    "stock": Kind(
        lambda n: (n() + (c := n()), n() + (d := n()), c, d),
        (("a", "×", "b"), ("c", "×", "d"), ("1", "-", "2")),
        "A shop has {a} boxes of {b} {items}. It sells {c} {items} a day for {d} days. How many {items} are left?",
        "店に{items}が{b}{counter}入った箱が{a}箱あります。一日{c}{counter}ずつ{d}日売ると、何{counter}残りますか。",
    ),
    "mean": Kind(
        lambda n: ((a := n()), (b := n()), 3 * ((a + b) // 3 + n()) - a - b),
        (("a", "+", "b"), ("1", "+", "c"), ("2", "÷", "'3")),
        "{name} scores {a}, {b} and {c} points in three games. What is the mean of the three scores?",
        "{name}は三試合で{a}点、{b}点、{c}点を取りました。三試合の平均は何点ですか。",
    ),
    "sequence": Kind(
        lambda n: ((a := n()), a + n(), n() + 2), (("b", "-", "a"), ("c", "-", "'1"), ("1", "×", "2"), ("a", "+", "3")),
        "Numbers begin with {a} and {b} and go on by equal steps. What is number {c} of them?",
        "{a}、{b}と始まり、同じ数ずつ増えていく数の列があります。{c}番目の数はいくつですか。",
    ),
}  # fmt: skip


class Problem(NamedTuple):
    """Example: Problem("boxes", "simple", "en", "There are 3 boxes ...", "3 × 5 = 15\\nAnswer: 15", 15)"""

    kind: str
    difficulty: str
    language: str
    text: str
    response: str
    answer: int

    @property
    def prompt(self) -> str:
        return problem_prompt(self.text, self.language)


def make_problems(
    wanted: Mapping[tuple[str, str], int], rng: np.random.Generator, made: set[tuple]
) -> tuple[list[Problem], dict[tuple[str, str], int]]:
    """As many problems of each (language, difficulty) as `wanted`, none that is in `made`; they are added to it.

    Returns the problems, and what is missing where a level's different problems are used up.
    """
    problems, missing = [], {}
    for (language, difficulty), number in wanted.items():
        found = 0
        while found < number and (problem := _fresh(language, difficulty, rng, made)):
            problems.append(problem)
            found += 1
        if found < number:
            missing[language, difficulty] = number - found
    return problems, missing


def worked(kind: Kind, numbers: tuple[int, ...]) -> list[tuple[int, str, int, int]]:
    """The steps as (left, operator, right, result).

    Raises:
        ValueError: a result that is no positive whole number, so that the kind's numbers are at fault.
    """
    values = dict(zip("abcd", numbers, strict=False))
    lines = []
    for place, (left, operator, right) in enumerate(kind.steps, 1):
        x, y = (values[name] if name in values else int(name.removeprefix("'")) for name in (left, right))
        result = OPERATORS[operator](x, y)
        if result <= 0 or operator == "÷" and result * y != x:
            raise ValueError(f"{x} {operator} {y} is no positive whole number, in the numbers {numbers}")
        values[str(place)] = result
        lines.append((x, operator, y, result))
    return lines


OPERATORS: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda x, y: x + y,
    "-": lambda x, y: x - y,
    "×": lambda x, y: x * y,
    "÷": lambda x, y: x // y,
}


def _fresh(language: str, difficulty: str, rng: np.random.Generator, made: set[tuple]) -> Problem | None:
    """A problem that was not made yet, or None after so many attempts."""
    num_steps, largest = LEVELS[difficulty]
    names = [name for name, kind in KINDS.items() if len(kind.steps) in num_steps]
    for _ in range(ATTEMPTS):
        name = names[int(rng.integers(len(names)))]
        numbers = KINDS[name].numbers(lambda: int(rng.integers(2, largest + 1)))
        if (name, *numbers) not in made:
            made.add((name, *numbers))
            return _told(name, numbers, language, difficulty, rng)
    return None


def _told(name: str, numbers: tuple[int, ...], language: str, difficulty: str, rng: np.random.Generator) -> Problem:
    kind, side = KINDS[name], ("en", "ja").index(language)
    item = ITEMS[int(rng.integers(len(ITEMS)))]
    words = {"name": NAMES[int(rng.integers(len(NAMES)))][side], "items": item[side], "counter": item[2]}
    text = getattr(kind, language).format(**dict(zip("abcd", numbers, strict=False)), **words)
    lines = worked(kind, numbers)
    answer = lines[-1][-1]
    steps = [f"{left} {operator} {right} = {result}" for left, operator, right, result in lines]
    return Problem(name, difficulty, language, text, "\n".join([*steps, ANSWER[language].format(answer)]), answer)
