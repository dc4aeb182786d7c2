"""The stage as a whole: that it stops and goes on anywhere as if it had not, and what its settings do."""

import os
import signal
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from in2x.artifacts import In2xError, Interrupted, read_json
from in2x.rewards.groups import Span
from in2x.rl import train
from in2x.rl.alarms import Alarmed
from in2x.rl.anchors import SftAnchor
from in2x.training.loop import Loop


@pytest.fixture
def stage(rl_stage, tmp_path, make_model, tokenizer, corpus, monkeypatch):
    inputs = rl_stage.make_inputs(tmp_path / "inputs", make_model(seed=3), tokenizer, corpus)
    return rl_stage.RlStage(tmp_path, inputs, monkeypatch)


def checkpoint_step(folder):
    return read_json(folder / "checkpoint/state.json")["step"]


class Killed(BaseException):
    """Stands for SIGKILL: nothing gets a chance to save."""


@pytest.fixture
def after_updates(monkeypatch):
    """after_updates(n, act): call `act` within the n-th optimizer step from now, once its weights are changed."""
    plain = Loop.optimizer_step

    def plan(number, act):
        taken = []

        def step(self, *arguments, **options):
            update = plain(self, *arguments, **options)
            taken.append(1)
            if len(taken) == number:
                act()
            return update

        monkeypatch.setattr(Loop, "optimizer_step", step)

    yield plan
    monkeypatch.setattr(Loop, "optimizer_step", plain)


def assert_same(found, expected):
    for one, other in zip(found.tables, expected.tables, strict=True):
        assert_frame_equal(one, other)
    assert found.weights == expected.weights

    assert [line["step"] for line in found.log] == [line["step"] for line in expected.log]
    for name in ("reward", "entropy", "ratio", "gradient_norm", "completion_tokens", "drawn_prompts"):
        assert [line[name] for line in found.log] == [line[name] for line in expected.log], name


HARD = {
    "entropy_target": 3.0, "covariance_control": "clip-cov", "sft_coefficient": 0.1, "sft_rows": 3,
    "prompt_order": "spread", "kl_coefficient": 0.01,
}  # fmt: skip


@pytest.mark.parametrize("settings", [{}, HARD], ids=["plain", "everything"])
def test_a_run_stopped_inside_a_window_goes_on_as_if_it_had_not(stage, after_updates, settings):
    whole = stage.run("whole", **settings)
    after_updates(6, lambda: os.kill(os.getpid(), signal.SIGTERM))  # the second update of the second batch
    with pytest.raises(Interrupted, match="stopped after step 6 of 12"):
        stage.run("stopped", **settings)
    assert checkpoint_step(stage.root / "stopped") == 6
    assert_same(stage.run("stopped", **settings), whole)
    assert not (stage.root / "stopped" / "windows").exists()


def test_the_reward_is_closed_when_the_stage_ends_also_by_an_error(stage):
    stage.run("whole", num_batches=1)
    assert stage.num_closed == 1

    def broken(groups):
        raise RuntimeError("the reward fell over")

    stage.reward = broken
    with pytest.raises(RuntimeError, match="fell over"):
        stage.run("broken", num_batches=1)
    assert stage.num_closed == 2


def with_spans(plain):
    """The reward finds fault with the second half of every other completion's text."""

    def reward(groups):
        spans = {
            (p, g): [Span(len(text) // 2, len(text), 1.0, "")]
            for p, group in enumerate(groups)
            for g, text in enumerate(group.texts)
            if g % 2 and len(text) > 1
        }
        return replace(plain(groups), spans={"script": spans})

    return reward


@pytest.mark.parametrize("algorithm", ["tic-grpo", "gspo", "dapo"])
def test_credit_by_token_goes_on_inside_a_window_and_moves_the_push_alone(stage, after_updates, algorithm):
    stage.reward = with_spans(stage.plain)
    weights = {"adequacy": 1.0, "script": 0.1}
    settings = {"algorithm": algorithm, "length_normalise": None, "num_batches": 2, "reward_weights": weights}
    plain = stage.run("plain", **settings)
    whole = stage.run("whole", span_credit=0.8, **settings)
    after_updates(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted, match="stopped after step 6 of 8"):
        stage.run("stopped", span_credit=0.8, **settings)
    assert_same(stage.run("stopped", span_credit=0.8, **settings), whole)
    assert whole.log[0]["span_fraction"] == 0.5 and 0 < whole.log[0]["credit_moved"] < 0.8
    assert_frame_equal(whole.tables[0], plain.tables[0])  # the same advantages
    assert whole.weights != plain.weights and "span_fraction" not in plain.log[0]


@pytest.mark.parametrize("number", [2, 5, 11])
def test_a_run_killed_between_two_checkpoints_goes_on_from_the_last(stage, after_updates, number):
    whole = stage.run("whole")

    def kill():
        raise Killed

    after_updates(number, kill)
    with pytest.raises(Killed):
        stage.run("killed", checkpoint_seconds=1e-9)
    assert checkpoint_step(stage.root / "killed") == number - 1
    assert_same(stage.run("killed", checkpoint_seconds=1e-9), whole)


def test_a_checkpoint_left_behind_in_an_earlier_window_still_has_it(stage, after_updates, monkeypatch):
    whole = stage.run("whole")

    def kill():
        raise Killed

    after_updates(11, kill)
    save = Loop.save
    monkeypatch.setattr(Loop, "save", lambda self: save(self) if self.step == 2 else None)
    with pytest.raises(Killed):
        stage.run("killed", checkpoint_seconds=1e-9)
    assert checkpoint_step(stage.root / "killed") == 2
    kept = sorted(path.name for path in (stage.root / "killed" / "windows").iterdir())
    assert kept == ["batch-00001.safetensors", "batch-00003.safetensors"]
    monkeypatch.setattr(Loop, "save", save)
    assert_same(stage.run("killed"), whole)


def test_a_lost_window_or_history_is_told(stage, after_updates):
    after_updates(6, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted):
        stage.run("stopped")
    window = stage.root / "stopped/windows/batch-00002.safetensors"
    moved = window.rename(stage.root / "moved")
    with pytest.raises(In2xError, match="batch-00002.safetensors: not there, and the checkpoint stands between"):
        stage.run("stopped")
    moved.rename(window)
    (stage.root / "stopped/history.jsonl").unlink()
    with pytest.raises(In2xError, match="ends at step 0, but the checkpoint beside it is of step 6"):
        stage.run("stopped")


def test_groups_that_teach_nothing_are_refilled_within_a_bound(stage):
    def flat_for_some(groups):
        rewarded = stage.plain(groups)
        for p, group in enumerate(groups):
            if int(group.id[1:]) % 2:
                rewarded.components_PG["adequacy"][p] = 0.5
                rewarded.composed.rewards_PG[p] = 0.0
        return rewarded

    stage.reward = flat_for_some
    without, refilled = stage.run("without", max_refills=0), stage.run("refilled")
    for table in without.tables:
        assert table["prompt_id"].n_unique() == 4 and table["informative"].sum() < 16
    first = refilled.log[0]
    assert first["refills"] in (1, 2) and first["drawn_prompts"] > 4
    table = refilled.tables[0]
    assert table["prompt_id"].n_unique() == first["drawn_prompts"] == len(table) / 4
    told = table.group_by("prompt_id", maintain_order=True).first()
    assert told["informative"].to_list() == [int(id[1:]) % 2 == 0 for id in told["prompt_id"]]
    assert first["informative_fraction"] == told["informative"].mean()
    drawn = [id for table in refilled.tables for id in table["prompt_id"].unique(maintain_order=True)]
    assert len(set(drawn[:12])) == 12, "a refill takes the prompts that come next, and the next batch those after"
    assert without.tables[0].equals(table[:16].with_columns(spread=without.tables[0]["spread"]))


def test_a_refilled_run_also_resumes_exactly(stage, after_updates):
    def flat_for_some(groups):
        rewarded = stage.plain(groups)
        for p, group in enumerate(groups):
            if int(group.id[1:]) % 3 == 0:
                rewarded.components_PG["adequacy"][p], rewarded.composed.rewards_PG[p] = 0.5, 0.0
        return rewarded

    stage.reward = flat_for_some
    settings = {"max_refills": 1, "prompt_order": "easy-to-hard"}
    whole = stage.run("whole", **settings)
    after_updates(5, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(Interrupted):
        stage.run("stopped", **settings)
    assert_same(stage.run("stopped", **settings), whole)


def test_too_many_unscorable_groups_stop_the_run_and_name_the_evidence(stage):
    def broken(groups):
        rewarded = stage.plain(groups)
        rewarded.composed.rewards_PG[1:] = np.nan
        return rewarded

    stage.reward = broken
    with pytest.raises(Alarmed) as caught:
        stage.run("broken", max_refills=0)
    message = str(caught.value)
    assert "75% of the groups could not be rewarded (rl.alarms.unscorable.stop is 0.5)" in message
    assert "batch-00001.parquet" in message and "no checkpoint had been written yet" in message
    table = pl.read_parquet(stage.root / "broken/rollouts/batch-00001.parquet")
    assert table["reward"].null_count() == 12 and table["unscorable"].null_count() == 4
    assert table.filter(pl.col("reward").is_null())["informative"].any() is False
    line = pl.read_ndjson(stage.root / "broken/metrics.jsonl").to_dicts()[-1]
    assert line["unscorable_fraction"] == 0.75 and line["alarms"][-1].startswith("unscorable: 75%")


def test_an_alarm_that_warns_lets_the_run_go_on_and_is_logged(stage, capsys):
    found = stage.run("warned", alarms={"truncated": {"warn": 0.01}})
    assert found.results["num_batches_with_alarms"] == 3
    measured = found.results["measures"]
    assert set(measured) == {"perplexity", "few_shot", "round_trip", "retrieval"}
    assert measured["retrieval"]["num_segments"] == 5
    assert all("cut at max_completion_tokens" in line["alarms"][0] for line in found.log)
    assert "rl.alarms.truncated.warn is 0.01" in capsys.readouterr().out


def test_masked_completions_are_not_trained_on_and_kept_ones_count_as_ended(stage, monkeypatch):
    def some_finish(*arguments, sample=train.sample_groups, **options):
        return [
            replace(group, completions=[replace(c, finished=sum(c.token_ids) % 3 > 0) for c in group.completions])
            for group in sample(*arguments, **options)
        ]

    monkeypatch.setattr(train, "sample_groups", some_finish)
    seen = []

    def note(groups):
        seen.extend(c.finished for group in groups for c in group.completions)
        return stage.plain(groups)

    stage.reward = note
    masked = stage.run("masked", truncated="masked", num_batches=1)
    assert not all(seen)
    table = masked.tables[0]
    cut, ended = table.filter(~pl.col("finished")), table.filter(pl.col("finished"))
    assert len(cut) and (cut["advantage"] == 0).all()
    sums = ended.group_by("prompt_id").agg(pl.col("advantage").sum(), pl.len(), pl.col("informative").first())
    assert sums["advantage"].abs().max() < 1e-5, "centred on those that ended"
    assert sums.filter(pl.col("len") < 2)["informative"].any() is False
    seen.clear()
    kept = stage.run("kept", truncated="kept", num_batches=1)
    assert all(seen) and not kept.tables[0]["finished"].all()
    assert (kept.tables[0].filter(~pl.col("finished"))["advantage"] != 0).any()


def test_the_entropy_coefficient_moves_towards_the_target(stage):
    low = stage.run("low", entropy_target=100.0, entropy_step=0.002, entropy_high=0.015)
    updates = pl.read_ndjson(low.folder / "history.jsonl", infer_schema_length=None)
    coefficients = updates.drop_nulls("coefficient")["coefficient"].to_list()
    assert coefficients[:5] == pytest.approx([0.01, 0.012, 0.014, 0.015, 0.015])
    high = stage.run("high", entropy_target=1e-3, num_batches=1)
    coefficients = pl.read_ndjson(high.folder / "history.jsonl", infer_schema_length=None)["coefficient"].drop_nulls()
    assert coefficients.to_list() == pytest.approx([0.01, 0.009, 0.008, 0.007])


def test_the_sft_anchor_is_a_part_of_every_step(stage):
    plain, anchored = stage.run("plain", num_batches=1), stage.run("anchored", num_batches=1, sft_coefficient=0.5)
    assert "sft_loss" in anchored.log[0] and "sft_loss" not in plain.log[0]
    assert anchored.weights != plain.weights


def test_every_step_draws_its_own_translations_and_tokens(stage, monkeypatch):
    steps, seeds = [], []
    batches, mark = SftAnchor.batches, train.with_high_covariance
    monkeypatch.setattr(SftAnchor, "batches", lambda self, step: steps.append(step) or batches(self, step))

    def marked(rollouts, rows, settings, generator):
        seeds.append(generator.initial_seed())
        return mark(rollouts, rows, settings, generator)

    monkeypatch.setattr(train, "with_high_covariance", marked)
    stage.run("drawn", num_batches=2, sft_coefficient=0.1)
    assert steps == list(range(8)) and len(set(seeds)) == 8


def test_prompts_that_leave_no_room_are_refused_before_any_step(stage):
    with pytest.raises(In2xError, match="8 of 12 prompts are longer than 4 tokens, the 64 positions"):
        stage.run("long", max_completion_tokens=60)
    assert not (stage.root / "long/rollouts").exists()
