"""Recipes that mix tasks: what is found before any stage runs."""

from pathlib import Path

import pytest

from in2x.recipe import RecipeError, load

RECIPE = """
[corpus]
[instruct]
tasks = { translate = 0.8, arithmetic = 0.2 }
[[instruct.extra]]
path = "stories.jsonl"
use = "rl"
task = "creative"
direction = "ja-ja"
share = 0.1
[rl]
directions = ["en-ja", "ja-ja", "en-en"]
reward_judge_url = "http://localhost:1/v1"
reward_judge_model = "judge"
reward_weights = { adequacy = 1.0 }
[rl.reward_task_weights]
arithmetic = { answer = 1.0, format = 0.1 }
creative = { rubric = 1.0 }
"""


@pytest.fixture(autouse=True)
def recipe_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("stories.jsonl").write_text("{}")


def problems(*changes: tuple[str, str]) -> str:
    text = RECIPE
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    Path("r.toml").write_text(text)
    with pytest.raises(RecipeError) as found:
        load("r.toml")
    return "\n".join(line for line in str(found.value).splitlines() if "which the recipe doesn't have" not in line)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("arithmetic = {", "maths = {"), "add arithmetic = { answer = 1.0, format = 0.1 } to it"),
        (("creative = {", "poems = {"), "add creative = { rubric = 1.0 } to it"),
        (('"ja-ja", "en-en"]', '"ja-ja"]'), "rl.directions: leaves out 'en-en', the direction of 'arithmetic'"),
        (('"ja-ja", "en-en"]', '"en-en"]'), "rl.directions: leaves out 'ja-ja', the direction of 'creative'"),
        (("{ rubric = 1.0 }", "{ answer = 1.0 }"), "extra.0: rl.reward_task_weights.creative has 'answer', which"),
        (("stories.jsonl", "tales.jsonl"), "instruct.extra.0.path: there is no file tales.jsonl"),
        (("share = 0.1", "count = 5000"), "ask for 5,000 rows for rl, more than instruct.num_rl, 4,000"),
        (("share = 0.1", "share = 0.1\ncount = 3"), "expected one of share and count"),
        (("arithmetic = 0.2", "arithmetik = 0.2"), "unknown task; did you mean 'arithmetic'?"),
        (("[instruct]", "[instruct]\ntarget_fraction = 1.0"), "no task gives RL prompts in 'en-en'"),
        (('"en-en"]', '"zh-zh"]'), "expected 'en-ja' or 'ja-en' (of corpus.pair), got 'zh-zh'"),
    ],
)
def test_what_does_not_fit(change, message):
    assert message in problems(change)


def test_a_mixture_that_fits_has_no_problem_of_its_own():
    Path("r.toml").write_text(RECIPE)
    with pytest.raises(RecipeError) as found:  # of the stages that this recipe lacks
        load("r.toml")
    assert all("which the recipe doesn't have" in line for line in str(found.value).splitlines() if "r.toml" in line)
