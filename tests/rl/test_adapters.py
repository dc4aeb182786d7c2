"""Prompt set and rewards for other trainers, without these trainers."""

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.records import INSTRUCTIONS, Completion
from in2x.rewards.translation import Group, TranslationReward
from in2x.rl.adapters.prompts import main, prompt_set, write_prompts
from in2x.rl.adapters.rewards import GATE_SCORE, compute_score, group_reward

ROW = {
    "id": "t:1/translate/en-ja", "epoch": 0, "task": "translate", "direction": "en-ja", "difficulty": "simple",
    "prompt": "Translate into Japanese:\nI live in Kobe.", "response": "神戸に住んでいます。", "group": 3,
    "source": "I live in Kobe.", "reference": "神戸に住んでいます。",
}  # fmt: skip
TEXTS = ["神戸に住んでいます。", "神戸に住んでいるの。", "I live in Kobe.", "私は大阪です。"]


def instructions(*changes):
    return pl.DataFrame([ROW | change for change in changes or [{}]])


def test_prompt_set():
    frame = prompt_set(instructions({}, {"id": "t:2"}))
    first, second = frame.to_dicts()
    assert first["prompt"] == [{"role": "user", "content": ROW["prompt"]}]
    assert first["reward_model"] == {"style": "rule", "ground_truth": ROW["reference"]}
    assert first["extra_info"] == {
        "index": 0, "id": ROW["id"], "source": ROW["source"], "reference": ROW["reference"], "direction": "en-ja",
        "task": "translate", "instruction": ROW["prompt"],
    }  # fmt: skip
    assert (second["extra_info"]["index"], second["id"], second["data_source"]) == (1, "t:2", "in2x")


def test_written_prompts_are_those_of_the_directions(tmp_path, monkeypatch, capsys):
    instructions({}, {"id": "t:2", "direction": "ja-en"}).write_parquet(tmp_path / "rl.parquet")
    arguments = ["prompts", str(tmp_path / "rl.parquet"), str(tmp_path / "out.parquet"), "--directions", "ja-en"]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    assert pl.read_parquet(tmp_path / "out.parquet")["id"].to_list() == ["t:2"]
    assert capsys.readouterr().out.startswith("1 prompts in")
    with pytest.raises(In2xError, match="no prompts in the directions"):
        write_prompts(tmp_path / "rl.parquet", tmp_path / "out.parquet", ["en-zh"])
    with pytest.raises(In2xError, match="run the stage instruct first"):
        write_prompts(tmp_path / "nothing.parquet", tmp_path / "out.parquet")
    with pytest.raises(ValueError, match="'reference'"):
        prompt_set(instructions().drop("reference"))
    assert set(INSTRUCTIONS) == set(ROW)


def test_score_of_one_completion_is_the_weighted_sum_of_raw_components():
    extra = prompt_set(instructions())["extra_info"][0]
    weights = {"adequacy": 2.0, "repetition": 0.5}
    score = {text: compute_score("in2x", text, ROW["reference"], extra, weights) for text in TEXTS}
    perfect = score[TEXTS[0]]
    assert perfect["adequacy"] == pytest.approx(1.0) and perfect["score"] == pytest.approx(2.0)
    assert 0 < score[TEXTS[1]]["adequacy"] < 1
    assert score[TEXTS[1]]["score"] == pytest.approx(2 * score[TEXTS[1]]["adequacy"])
    assert score[TEXTS[2]]["score"] == GATE_SCORE and score[TEXTS[2]]["failed_gate"]
    again = compute_score("in2x", "神戸に" * 8, ROW["reference"], extra, {"repetition": 0.5}, -9.0)
    assert again["score"] == (-9.0 if again["failed_gate"] else pytest.approx(0.5 * again["repetition"])) < 0


def test_a_score_wants_the_prompt_set():
    with pytest.raises(ValueError, match="in2x.rl.adapters.prompts"):
        compute_score("in2x", "神戸", "神戸", {"index": 0})


def columns(ids, texts):
    """What TRL hands to a reward function."""
    return {
        "prompts": [[{"role": "user", "content": ROW["prompt"]}]] * len(ids),
        "completions": [[{"role": "assistant", "content": text}] for text in texts],
        "completion_ids": [[5, 6, 2] for _ in texts],
        "id": ids,
        **{name: [ROW[name]] * len(ids) for name in ("source", "reference", "direction", "task")},
        "trainer_state": None,
    }


def test_rewards_of_groups_are_those_of_our_own_loop():
    reward = TranslationReward({"adequacy": 1.0, "repetition": 0.2})
    function = group_reward(reward, 4, {2})
    found = function(**columns(["a"] * 4 + ["b"] * 4, TEXTS + TEXTS[::-1]))
    members = [Completion([5, 6, 2], [], text, True) for text in TEXTS]
    own = reward([Group("a", [], ROW["source"], ROW["reference"], "ja", members, "en")]).composed.rewards_PG[0]
    assert found[:4] == pytest.approx(own.tolist()) and found[4:] == pytest.approx(own[::-1].tolist())
    assert max(found) == found[0] and min(found) == found[2]


def test_a_completion_without_its_end_fails_the_gate():
    function = group_reward(TranslationReward({"adequacy": 1.0}), 4, {2})
    given = columns(["a"] * 4, [TEXTS[0]] * 4)
    given["completion_ids"][0] = [5, 6, 7]
    found = function(**given)
    assert found[0] < found[1] == found[2] == found[3]


@pytest.mark.parametrize("ids", [["a"] * 6, ["a", "a", "b", "b"], ["a"] * 3])
def test_parts_of_groups_are_refused(ids):
    function = group_reward(TranslationReward({"adequacy": 1.0}), 4, {2})
    with pytest.raises(ValueError, match="whole groups of 4"):
        function(**columns(ids, [TEXTS[0]] * len(ids)))
