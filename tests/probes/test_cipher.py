"""The whole method on a cipher language: SFT must learn to translate it, and RL must improve on that."""

import polars as pl
import pytest

from in2x import stages
from in2x.artifacts import manifest, read_json
from in2x.cli import main


@pytest.fixture(scope="module")
def chrf(cipher_run):
    rows = read_json(cipher_run.folder / "evaluate" / "scores.json")
    return {(row["system"], row["decoding"]): row["value"] for row in rows if row["metric"] == "chrF2"}


def test_sft_learns_and_rl_improves(chrf):
    assert chrf["sft", "greedy"] > chrf["pretrain/anneal", "greedy"]
    assert chrf["sft", "greedy"] > 40
    assert chrf["rl", "greedy"] > chrf["sft", "greedy"]


def test_merging_and_mbr_keep_what_rl_learned(chrf):
    assert chrf["merge", "greedy"] > chrf["sft", "greedy"]
    assert chrf["merge", "mbr"] > chrf["sft", "greedy"]


def test_rl_raises_its_own_reward(cipher_run):
    log = pl.read_ndjson(cipher_run.folder / "rl" / "metrics.jsonl", infer_schema_length=None)
    assert log["component/adequacy"].tail(10).mean() > log["component/adequacy"].head(10).mean()
    assert log["ratio"].is_not_null().all() and (log["informative_fraction"] <= 1).all()
    assert log["step"].to_list() == list(range(4, 324, 4))


def test_the_rollouts_of_a_step_can_be_looked_at(cipher_run, capsys):
    assert main(["rollouts", str(cipher_run.folder), "--step=40", "--prompts=2"]) == 0
    shown = capsys.readouterr().out
    assert "batch 10: 16 prompts" in shown and shown.count("reference: ") == 2


def test_sft_and_rl_prompts_share_no_group_and_no_test_sentence(cipher_run):
    sft, rl = (pl.read_parquet(cipher_run.folder / "instruct" / f"{name}.parquet") for name in ("sft", "rl"))
    pairs = pl.read_parquet(cipher_run.folder / "corpus" / "pairs.parquet")
    assert not set(sft["group"]) & set(rl["group"])
    assert not set(pairs.filter(pl.col("split") != "train")["group"]) & (set(sft["group"]) | set(rl["group"]))


def test_the_naturalness_model_beats_the_rules_that_know_nothing(cipher_run):
    accuracy = manifest(cipher_run.folder / "reward")["results"]["accuracy"]
    assert accuracy["held_out"] > max(accuracy["always_the_shorter"], accuracy["always_the_longer"])


def test_perplexity_falls_with_the_phases(cipher_run):
    first, _, last = manifest(cipher_run.folder / "pretrain")["results"]["phases"]
    assert last["perplexity"]["pairs"] < first["perplexity"]["pairs"]


def test_every_stage_is_complete_and_skipped_the_second_time(cipher_run):
    for name in cipher_run.stages:
        assert stages.run_stage(cipher_run, name).skipped


def test_the_report_shows_every_system(cipher_run):
    page = (cipher_run.folder / "report" / "report.html").read_text(encoding="utf-8")
    for system in ("knowledge", "long", "anneal", "sft", "rl", "merge"):
        assert system in page
    assert len(page) > 50_000
