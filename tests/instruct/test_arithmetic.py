import re

import numpy as np
import pytest

from in2x.instruct.arithmetic import ITEMS, KINDS, LEVELS, Kind, make_problems, worked
from in2x.rewards import answers
from in2x.rewards.gates import check_gates

CELLS = {(language, level): 40 for language in ("en", "ja") for level in LEVELS}
STEP = re.compile(r"(\d+) ([+\-×÷]) (\d+) = (\d+)")


@pytest.fixture(scope="module")
def problems():
    found, missing = make_problems(CELLS, np.random.default_rng(5), set())
    assert not missing and len(found) == 400
    return found


def test_each_step_is_right_and_the_last_is_the_answer(problems):
    compute = {"+": int.__add__, "-": int.__sub__, "×": int.__mul__}
    for problem in problems:
        *steps, last = problem.response.split("\n")
        assert [line for line in steps if STEP.fullmatch(line)] == steps
        for step in steps:
            left, operator, right, result = STEP.fullmatch(step).groups()
            if operator == "÷":
                assert int(result) * int(right) == int(left)
            else:
                assert compute[operator](int(left), int(right)) == int(result) > 0
        assert int(STEP.fullmatch(steps[-1])[4]) == problem.answer
        assert last == {"en": "Answer: ", "ja": "答え："}[problem.language] + str(problem.answer)


def test_steps_use_numbers_of_the_text_or_results_before(problems):
    for problem in problems:
        known = {*re.findall(r"\d+", problem.text), "1", "3"}  # one less, the mean of three
        for left, _, right, result in (STEP.fullmatch(line).groups() for line in problem.response.split("\n")[:-1]):
            assert {left, right} <= known, problem
            known.add(result)
        given = [str(number) for number in re.findall(r"\d+", problem.text)]
        assert all(re.search(rf"(?<!\d){number}(?!\d)", problem.response) for number in given), problem


def test_the_reward_s_rules_read_the_response_and_its_gates_pass_it(problems):
    for problem in problems:
        assert answers.correct(problem.response, str(problem.answer)) == 1.0
        assert answers.correct(problem.response, str(problem.answer + 1)) == 0.0
        gates = check_gates(problem.response, problem.text, problem.language, True, prompt=problem.prompt,
                            task="arithmetic")  # fmt: skip
        assert gates is None
        assert problem.text in problem.prompt


def test_levels_say_how_many_steps(problems):
    for problem in problems:
        assert len(problem.response.split("\n")) - 1 in LEVELS[problem.difficulty][0]
    assert {problem.kind for problem in problems} == set(KINDS)


def test_languages_are_not_mixed_and_no_field_is_left(problems):
    for problem in problems:
        assert "{" not in problem.prompt + problem.response
        has_kana = re.search("[ぁ-ん]", problem.prompt) is not None
        assert has_kana == (problem.language == "ja")
    assert not any(re.search("[A-Za-z]", problem.prompt) for problem in problems if problem.language == "ja")
    assert len({english for english, _, _ in ITEMS}) == len(ITEMS)


def test_a_problem_is_made_once_and_a_used_up_level_is_told():
    made = set()
    first, _ = make_problems({("en", "very-simple"): 100}, np.random.default_rng(0), made)
    more, missing = make_problems({("ja", "very-simple"): 1000}, np.random.default_rng(1), made)
    stories = [(problem.kind, *re.findall(r"\d+", problem.response)) for problem in (*first, *more)]
    assert len(set(stories)) == len(stories) == len(made)
    assert missing == {("ja", "very-simple"): 1000 - len(more)} and 100 < len(stories) <= 4 * 81


def test_the_same_seed_makes_the_same_problems():
    one, other, third = (
        make_problems({("ja", "difficult"): 5}, np.random.default_rng(seed), set())[0] for seed in (1, 1, 2)
    )
    assert one == other != third


def test_numbers_that_do_not_work_out_are_refused():
    kind = Kind(lambda n: (n(),), (("a", "÷", "b"),), "", "")
    with pytest.raises(ValueError, match="7 ÷ 2 is no positive whole number"):
        worked(kind, (7, 2))
    assert worked(kind, (8, 2)) == [(8, "÷", 2, 4)]
    with pytest.raises(ValueError, match="2 - 2"):
        worked(Kind(lambda n: (n(),), (("a", "-", "b"),), "", ""), (2, 2))


def test_a_known_problem():
    numbers = iter([3, 5, 4])
    kind = KINDS["boxes-and-single"]
    drawn = kind.numbers(lambda: next(numbers))
    assert worked(kind, drawn) == [(3, "×", 5, 15), (15, "+", 4, 19)]
    drawn = KINDS["mean"].numbers(iter([4, 9, 2]).__next__)  # 13 // 3 + 2 = 6 in the mean
    assert drawn == (4, 9, 5) and worked(KINDS["mean"], drawn)[-1] == (18, "÷", 3, 6)
