"""RL on a mixed batch, from instruct's tables: each task has the rewards of its own components, and the step is real.

The policy is a random model whose completions are written by the test; gates, components, composition, advantages,
log-probabilities and the optimizer's step are RL's own. The judge is a server on this machine.
"""

import importlib.util
import json
import re
from pathlib import Path

import polars as pl
import pytest

import in2x.judging.cache
from in2x.artifacts import write_json
from in2x.instruct import build
from in2x.model.loading import save_model
from in2x.records import Completion
from in2x.rl import train
from in2x.sections import InstructSection, RlSection
from in2x.sections.instruct import Extra

_spec = importlib.util.spec_from_file_location(
    "judging_conftest", Path(__file__).parents[1] / "judging" / "conftest.py"
)
_judging = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_judging)
serve, read_request = _judging.serve, _judging.read_request

GOOD_STORY, BAD_STORY = "むかしむかし、猫がいました。", "猫。"


def judge(body, number):
    """Every principle is satisfied by the good story, none by the bad one."""
    request = read_request(body)
    if "principles" not in request.data:
        return json.dumps({"id": request.id, "principles": ["There is a cat."]})
    count = len(request.data["principles"])
    answers = {
        shown["label"]: ["yes" if shown["text"] == GOOD_STORY else "no"] * count for shown in request.data["texts"]
    }
    return json.dumps({"id": request.id, "notes": "", "answers": answers})


def completions_of(row: dict) -> tuple[str, str]:
    """A right and a wrong completion of a prompt."""
    if row["task"] == "arithmetic":
        return f"\\boxed{{{row['reference']}}}", f"\\boxed{{{row['reference']}1}}"
    return (GOOD_STORY, BAD_STORY) if row["task"] == "creative" else (row["reference"], "まったく違います。")


@pytest.fixture
def inputs(corpus, tmp_path, make_model, tokenizer):
    stories = tmp_path / "stories.jsonl"
    stories.write_text("\n".join(json.dumps({"prompt": f"猫の話{place}"}) for place in range(4)))
    section = InstructSection(
        tasks={"translate": 0.5, "arithmetic": 0.5}, num_sft=8, num_epochs=1, num_rl=12, target_fraction=1.0,
        extra=(Extra(path=stories, use="rl", task="creative", direction="ja-ja", count=4),),
    )  # fmt: skip
    found = {name: tmp_path / name for name in ("instruct", "sft", "reward")} | {"corpus": corpus()}
    build.run(section, found["instruct"], found)
    save_model(make_model(seed=3, max_position_tokens=1024), tokenizer, found["sft"] / "model")
    return found


@pytest.fixture
def scripted(inputs, tokenizer, monkeypatch):
    """Half of each group's completions are right."""
    rows = {}
    for row in pl.read_parquet(inputs["instruct"] / "rl.parquet").iter_rows(named=True):
        rows[re.sub(r"\s", "", row["prompt"])] = row

    def generate(model, tokenizer, prompt_ids, *, num_samples, **options):
        def completion(text):
            ids = tokenizer.encode(text, add_special_tokens=False) + [tokenizer.eos_token_id]
            return Completion(ids, [-1.0] * len(ids), text, True)

        found = []
        for ids in prompt_ids:
            text = re.sub(r"\s", "", tokenizer.decode(ids))
            row = next(row for prompt, row in rows.items() if prompt in text)
            right, wrong = completions_of(row)
            found.append([completion(right if place % 2 else wrong) for place in range(num_samples)])
        return found

    monkeypatch.setattr(train, "make_generator", lambda *arguments: generate)


def test_each_task_is_rewarded_by_its_own_components(inputs, scripted, serve, tmp_path, monkeypatch):
    monkeypatch.setattr(in2x.judging.cache, "default_path", lambda: tmp_path / "answers")
    monkeypatch.setattr(train, "measures_in_chat", lambda *_: {})  # of a corpus that has no text beside its pairs
    server = serve(judge)
    section = RlSection(
        num_batches=1, batch_completions=48, mini_batch_completions=48, group_size=4, max_completion_tokens=64,
        directions=("en-ja", "ja-ja"), dev_every_batches=0, keep_checkpoints=1, micro_batch_tokens=4096, lr=1e-3,
        mismatch="none", reward_weights={"adequacy": 1.0, "length": 0.1},
        reward_task_weights={"arithmetic": {"answer": 1.0, "format": 0.1}, "creative": {"rubric": 1.0}},
        reward_judge_url=f"{server.url}/v1", reward_judge_model="judge",
    )  # fmt: skip
    folder = tmp_path / "rl"
    folder.mkdir()
    write_json(folder / "manifest.json", {"section": section.model_dump(mode="json")})
    results = train.run(section, folder, inputs)
    assert results["num_steps"] == 1 and results["num_prompts"] == 12
    table = pl.read_parquet(folder / "rollouts/batch-00001.parquet")
    prompts = pl.read_parquet(inputs["instruct"] / "rl.parquet").select(prompt_id="id", task="task")
    table = table.join(prompts, on="prompt_id")
    assert dict(table["task"].value_counts().iter_rows()) == {"translate": 16, "arithmetic": 16, "creative": 16}
    assert table["failed_gate"].null_count() == 48 and table["informative"].all()
    own = {"translate": {"adequacy", "length"}, "arithmetic": {"answer", "format"}, "creative": {"rubric"}}
    names = {name for names in own.values() for name in names}
    for (task,), rows in table.group_by("task"):
        measured = {name for name in names if rows[f"component.{name}"].null_count() == 0}
        assert measured == own[task]
        assert all(rows[f"component.{name}"].null_count() == 16 for name in names - measured)
        right = rows["sample"] % 2 == 1
        assert (rows.filter(right)["advantage"] > 0).all() and (rows.filter(~right)["advantage"] < 0).all()
    assert table.filter(task="arithmetic").sort("prompt_id", "sample")["component.answer"].to_list() == [0, 1] * 8
    assert table.filter(task="creative").sort("prompt_id", "sample")["component.rubric"].to_list() == [0, 1] * 8
    before, after = ((path / "model/model.safetensors").read_bytes() for path in (inputs["sft"], folder))
    assert before != after
    shown = "".join(json.dumps(body, ensure_ascii=False) for body in server.bodies)
    assert "猫の話0" in shown and "boxed" not in shown  # the judge sees what its task's prompts have, and no other
