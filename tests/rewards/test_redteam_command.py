"""`in2x redteam` on a run with models from random weights."""

import json
from types import SimpleNamespace

import polars as pl
import pytest
import torch

from in2x import artifacts
from in2x.artifacts import In2xError
from in2x.cli import main
from in2x.model.loading import save_model
from in2x.rewards.redteam_command import SETTINGS, failing, redteam_command, report_json, report_lines
from in2x.sections import RlSection

ROWS = [
    ("a", "dev", "I live in Kobe.", "神戸に住んでいます。"),
    ("b", "dev", "Thank you!", "どうも！"),
    ("c", "train", "What are you doing?", "何してるの？"),
    ("d", "train", "What are you doing?", "何をしているの？"),
    ("e", "train", "We live in Kobe.", "神戸に住んでいる。"),
    ("f", "train", "We live in Kobe.", "私たちは神戸に住んでいます。"),
    ("g", "test", "Never shown.", "見せない。"),
]


@pytest.fixture
def run(tmp_path, make_model, tokenizer):
    folder = tmp_path / "run"
    for stage in ("corpus", "sft", "reward"):
        artifacts.write_json(folder / stage / "manifest.json", {"section": {"pair": "en-ja"}, "status": "complete"})
    rows = [row for copy in range(5) for row in [(f"{i}{copy}", *rest) for i, *rest in ROWS[2:6]]]  # for length ratios
    pl.DataFrame(ROWS[:2] + ROWS[6:] + rows, schema=["id", "split", "source", "target"], orient="row").write_parquet(
        folder / "corpus" / "pairs.parquet"
    )
    save_model(make_model(), tokenizer, folder / "sft" / "model")
    from in2x.rewards import naturalness

    torch.manual_seed(0)
    save_model(naturalness.load(folder / "sft" / "model", from_language_model=True), tokenizer,
               folder / "reward" / "naturalness")  # fmt: skip
    return folder


def recipe(folder, **rl):
    return SimpleNamespace(folder=folder, rl=RlSection(max_completion_tokens=48, group_size=4, **rl), seed=0)


def test_every_cell_is_measured_in_groups_as_in_rl(run):
    report = redteam_command(recipe(run), run, num_cases=2, advance=lambda line: None)
    assert report["group_size"] == 4 and report["direction"] == "en-ja" and report["missing"] == []
    reference = report["settings"]["reference"]
    for column in ("gates", "adequacy", "naturalness", "numbers", "sum", "sum without references"):
        assert column in reference.cells["unrelated"]
    assert reference.cells["unrelated"]["adequacy"].beats == 0, "nothing is closer to the reference than itself"
    assert reference.cells["copy"]["sum"].beats == 0 and reference.cells["empty"]["gates"].share == 1
    json.dumps(report_json(report), allow_nan=False)
    assert any(line.startswith("honest: reference") for line in report_lines(report))


def test_test_pairs_are_never_used_and_a_second_person_is_set_against_the_first(run):
    report = redteam_command(recipe(run), run, settings=["human"], num_cases=5, advance=lambda line: None)
    assert set(report["settings"]) == {"human"}
    assert report["settings"]["human"].cells["empty"]["sum"].num == 2, "two sources have two translations"
    assert set(SETTINGS) == {"reference", "human", "policy"}


def test_what_is_missing_is_left_out_and_told(run):
    artifacts.clear(run / "reward")
    artifacts.clear(run / "sft" / "checkpoint")
    report = redteam_command(recipe(run), run, settings=["reference"], num_cases=2, advance=lambda line: None)
    assert "naturalness" not in report["weights"] and "in2x reward" in report["missing"][0]
    assert "missing: naturalness" in "\n".join(report_lines(report))
    artifacts.clear(run / "corpus")
    with pytest.raises(In2xError, match=r"corpus: not there; run `in2x corpus`"):
        redteam_command(recipe(run), run)


def test_a_sum_above_the_bound_is_a_failure(run):
    weights = {"length": 0.1}  # says nothing of meaning
    report = redteam_command(recipe(run, reward_weights=weights), run, settings=["human"], num_cases=2,
                             advance=lambda line: None)  # fmt: skip
    assert failing(report, 0.0) == [] and report["settings"]["human"].cells["unrelated"]["sum"].ties == 2
    weights = {"repetition": -1.0}
    report = redteam_command(recipe(run, reward_weights=weights), run, settings=["human"], num_cases=2,
                             advance=lambda line: None)  # fmt: skip
    lines = failing(report, 0.02)
    assert lines and all(line.startswith("human: ") for line in lines)


def test_the_command_refuses_what_it_does_not_know(run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.toml").write_text('[corpus]\nsources = [{ name = "mine", kind = "tsv", path = "r.toml" }]\n')
    assert main(["redteam", "r.toml", "--run", str(run), "--honest", "best"]) == 1
    assert "--honest best: expected reference, human, policy" in capsys.readouterr().err
    assert main(["redteam", "r.toml"]) == 1
    assert "corpus: not there" in capsys.readouterr().err
