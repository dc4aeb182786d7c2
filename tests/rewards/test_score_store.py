"""Reward components as scores of a store, through the command line."""

import polars as pl
import pytest

from in2x.artifacts import In2xError
from in2x.cli import main
from in2x.evaluation import store
from in2x.evaluation.reconstruction import load_reconstructor
from in2x.model.loading import save_model
from in2x.rewards.components import Resources
from in2x.rewards.score_store import score_rewards

HYPOTHESES = {"good": ["彼は3時に帰る。", "犬が寝る。"], "bad": ["彼は4時に帰る。", "The dog sleeps."]}


def frame():
    rows = [
        {"pair": "en-ja", "domain": None, "document": None, "segment": f"s{n}", "system": system,
         "source": source, "hypothesis": HYPOTHESES[system][n], "references": [reference] if reference else []}
        for system in HYPOTHESES
        for n, (source, reference) in enumerate([("He returns at 3.", "彼は3時に帰る。"), ("The dog sleeps.", None)])
    ]  # fmt: skip
    return pl.DataFrame(rows, schema_overrides={"domain": pl.String, "document": pl.String})


def test_each_row_gets_its_own_value_and_the_mark_of_a_reward():
    scored, found = score_rewards(frame(), ["adequacy", "numbers", "gates", "script"], Resources())
    assert scored["score.reward-numbers"].to_list() == [1.0, 1.0, 0.0, 1.0]
    assert scored["score.reward-gates"].to_list() == [1.0, 1.0, 1.0, 0.0]
    adequacy = scored["score.reward-adequacy"].to_list()
    assert adequacy[0] == pytest.approx(1.0) and adequacy[1] is None and 0 < adequacy[2] < 1 and adequacy[3] is None
    assert store.stored_roles(scored)["reward-numbers"] == {"good": "reward", "bad": "reward"}
    means = {(score.system, score.name): (score.mean, score.num_scores) for score in found}
    assert means["bad", "numbers"] == (0.5, 2) and means["good", "adequacy"] == (pytest.approx(1.0), 1)


def test_rows_in_any_order():
    shuffled = frame()[[3, 0, 2, 1]]
    scored, _ = score_rewards(shuffled, ["numbers"], Resources())
    assert scored["score.reward-numbers"].to_list() == [1.0, 1.0, 0.0, 1.0]
    assert scored["hypothesis"].to_list() == shuffled["hypothesis"].to_list()


def test_the_command(tmp_path, capsys):
    path = tmp_path / "store.jsonl"
    store.write_store(frame(), path)
    assert main(["score", str(path), "--reward", "numbers", "--reward", "gates"]) == 0
    assert "bad  reward-numbers: 0.500 over 2 segments" in capsys.readouterr().out
    assert "reward-gates" in store.metrics(store.read_store(path))
    assert main(["score", str(path), "--reward", "naturalness"]) == 1
    assert "needs a preference model" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "message"), [("lenght", "unknown reward component"), ("length", "needs max_tokens")])
def test_what_a_store_cannot_have(name, message):
    with pytest.raises(In2xError, match=message):
        score_rewards(frame(), [name], Resources())


def test_what_translates_back_stands_beside_the_reward_stage(tmp_path, make_model, tokenizer, capsys):
    path = tmp_path / "store.jsonl"
    store.write_store(frame(), path)
    save_model(make_model(), tokenizer, tmp_path / "sft" / "model")
    asked = ["score", str(path), "--reward", "reconstruction", "--reward-stage", str(tmp_path / "reward")]
    assert main(asked) == 0
    expected = load_reconstructor(tmp_path / "sft" / "model").scores([("The dog sleeps.", "犬が寝る。", "en")])
    scored = store.read_store(path).filter(segment="s1", system="good")
    assert scored["score.reward-reconstruction"].to_list() == pytest.approx(expected.tolist(), rel=1e-4)
