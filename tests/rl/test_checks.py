"""What is found before any step, and without torch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

import in2x
from in2x.model.prompts import chat_prompts
from in2x.rewards.components import COMPONENTS
from in2x.rl.chat_templates import prompt_lengths, template_problem
from in2x.rl.checks import WITH_SPANS, long_prompts, unread
from in2x.sections import RlSection


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({}, {}),
        ({"clip_low": 0.1}, {"clip_low": "unless clip is 'two-sided'"}),
        ({"start_competence": 0.5}, {"start_competence": "unless prompt_order is 'easy-to-hard'"}),
        ({"start_competence": 0.5, "prompt_order": "easy-to-hard"}, {}),
        ({"start_competence": 0.25}, {}),
        ({"entropy_high": 0.2}, {"entropy_high": "unless entropy_target is set"}),
        ({"entropy_high": 0.2, "entropy_target": 1.0}, {}),
        ({"sft_rows": 4}, {"sft_rows": "unless sft_coefficient is above 0"}),
        ({"sft_rows": 4, "sft_coefficient": 0.1}, {}),
    ],
)
def test_settings_that_nothing_reads(settings, found):
    assert unread(RlSection(**settings)) == {name: f"nothing reads it {why}" for name, why in found.items()}
    again = RlSection.model_validate(RlSection(**settings).model_dump())
    assert unread(again) == unread(RlSection(**settings))


@pytest.mark.parametrize("settings", [{"generator": {"kind": "vllm"}}, {"dtype": "bfloat16"}, {"dtype": "auto"}, {}])
def test_old_logprobs_of_another_sampler_or_precision_are_refused(settings):
    found = unread(RlSection(old_logprobs="sampler", **settings))
    assert list(found) == (["old_logprobs"] if settings else [])
    assert unread(RlSection(**settings)) == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"span_credit": 0.5}, "unless untranslated or script has a weight"),
        ({"span_credit": 0.5, "reward_weights": {"adequacy": 1.0, "script": 0.0}}, "unless untranslated or script has"),
        ({"span_credit": 0.5, "reward_weights": {"script": 0.2}}, None),
        ({"span_credit": 0.5, "reward_task_weights": {"translate": {"untranslated": 0.2}}}, None),
        (
            {"span_credit": 0.5, "reward_weights": {"script": 0.2}, "covariance_control": "kl-cov"},
            "covariance_control chooses its tokens by the advantage of whole completions",
        ),
    ],
)
def test_credit_by_token_wants_places_and_nothing_that_goes_by_completion(settings, message):
    found = unread(RlSection(**settings)).get("span_credit")
    assert found is None if message is None else message in found


def test_the_components_with_places_are_those_of_the_reward():
    assert {name for name, component in COMPONENTS.items() if component.spans} == set(WITH_SPANS)


def test_nothing_of_it_imports_torch():
    code = "import sys, in2x.rl.checks; print([m for m in ('torch', 'transformers', 'polars') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                          env=os.environ | {"PYTHONPATH": str(Path(in2x.__file__).parents[1])})  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.fixture
def folder(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def change(folder, template=None, **config):
    if template is not None:
        (folder / "chat_template.jinja").write_text(template)
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))


def test_this_projects_own_template_ends_its_answers(folder):
    assert template_problem(folder) is None


def test_a_template_without_an_end_is_told(folder):
    turn = "{% for m in messages %}<{{ m.role }}>{{ m.content }}END{% endfor %}"
    turn += "{% if add_generation_prompt %}<assistant>{% endif %}"
    change(folder, turn.replace("END", "{{ eos_token }}"))
    assert template_problem(folder) is None
    change(folder, turn.replace("END", "\n"))
    assert "does not continue the prompt with the answer and then '<|end|>'" in template_problem(folder)
    change(folder, turn.replace("END", "{% if m.role == 'user' %}{{ eos_token }}{% endif %}"))
    assert "does not continue the prompt" in template_problem(folder), "the question ends, and the answer doesn't"
    change(folder, turn.replace("END", "{{ eos_token }}"), eos_token="</s>")
    assert template_problem(folder) is None
    change(folder, "{% for m in messages %}{{ m.content }}{{ eos_token }}{% endfor %}{{ add_generation_prompt }}")
    assert "does not continue the prompt" in template_problem(folder)


def test_no_template_no_eos_and_nothing_to_look_at(folder, tmp_path):
    change(folder, eos_token=None)
    assert "names no eos_token" in template_problem(folder)
    (folder / "chat_template.jinja").unlink()
    assert "has no chat template" in template_problem(folder)
    assert template_problem(tmp_path / "elsewhere") is None
    change(folder, "{% unknown %}", eos_token="x")
    assert template_problem(folder) is None, "a template that only transformers can read is left to the stages"


def test_prompt_lengths_are_those_of_the_stages(folder, tokenizer):
    texts = ["What are you doing?", "Kobe", "神戸に住んでいます。"]
    assert prompt_lengths(folder, texts) == [len(ids) for ids in chat_prompts(tokenizer, texts)]


def test_long_prompts_of_an_earlier_run_are_told(tokenizer, tmp_path, rl_stage):
    recipe = SimpleNamespace(folder=tmp_path, rl=RlSection(max_completion_tokens=60), pretrain=None)
    assert long_prompts(recipe, 64) is None, "nothing has been run"
    (tmp_path / "instruct").mkdir()
    rl_stage.instructions().write_parquet(tmp_path / "instruct/rl.parquet")
    tokenizer.save_pretrained(tmp_path / "sft/model")
    assert long_prompts(recipe, 64).startswith("8 of 12 prompts are longer than 4 tokens, the 64 positions")
    assert long_prompts(recipe, 640) is None and long_prompts(recipe, None) is None
    pl.read_parquet(tmp_path / "instruct/rl.parquet").with_columns(direction=pl.lit("ja-en")).write_parquet(
        tmp_path / "instruct/rl.parquet"
    )
    assert long_prompts(recipe, 64) is None
