"""Our losses, rewards and prompts as verl calls them: see the head of test_parity_verl.py for its installation."""

import polars as pl
import pytest
import torch

from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.inputs import LossInputs
from in2x.rl.measures import metric_means

WHY = "verl is not installed with its imports: see the head of test_parity_verl.py"
core = pytest.importorskip("verl.trainer.ppo.core_algos", reason=WHY, exc_type=ImportError)
adapter = pytest.importorskip("in2x.rl.adapters.verl", reason=WHY, exc_type=ImportError)


@pytest.fixture
def fields(off_policy_fields):
    return off_policy_fields


def config(batch=None, **changes):
    from verl.workers.config import ActorConfig

    plain = {"strategy": "fsdp", "rollout_n": 1, "use_dynamic_bsz": True, "clip_ratio": 0.2, "clip_ratio_low": 0.2}
    made = ActorConfig(**plain | {"clip_ratio_high": 0.28, "clip_ratio_c": 3.0} | changes)
    made.global_batch_info.update(batch or {})
    return made


def call(name, fields, mode, weights=None, rows=slice(None), **changes):
    """Loss, gradient and metrics of a registered loss."""
    leaf = fields["logprobs_BT"][rows].clone().requires_grad_()
    mask_BT = fields["completion_mask_BT"][rows]
    advantages_BT = fields["advantages_B"][rows, None] * mask_BT
    loss, logged = core.get_policy_loss_fn(name)(
        old_log_prob=fields["old_logprobs_BT"][rows],
        log_prob=leaf,
        advantages=advantages_BT,
        response_mask=mask_BT,
        loss_agg_mode=mode,
        config=config(**changes),
        rollout_is_weights=weights,
    )
    return loss.detach(), torch.autograd.grad(loss, leaf)[0], logged


def same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_is_registered(name):
    assert core.get_policy_loss_fn(f"in2x-{name}").__name__ == f"in2x_{name.replace('-', '_')}"


def test_the_trajectory_loss_is_our_own(fields):
    leaf = fields["logprobs_BT"].clone().requires_grad_()
    row = ALGORITHMS["tic-grpo"]
    settings = row.settings(clip_high=0.4, dual_clip=2.0, entropy_coefficient=0.0, mismatch="none")
    output = row.loss(LossInputs(**fields | {"logprobs_BT": leaf}), settings)
    found = call("in2x-tic-grpo", fields, "seq-mean-token-sum", clip_ratio_high=0.4, clip_ratio_c=2.0)
    same(found[0], output.loss.detach())
    same(found[1], torch.autograd.grad(output.loss, leaf)[0])
    means = metric_means(output.metrics)
    assert found[2]["actor/in2x/dual_clip_fraction"] == pytest.approx(means["dual_clip_fraction"])
    assert means["dual_clip_fraction"] > 0 and means["clip_high_fraction"] > 0


@pytest.mark.parametrize("mode", ["token-mean", "seq-mean-token-sum", "seq-mean-token-mean", "seq-mean-token-sum-norm"])
def test_token_ratios_are_verls_vanilla_loss(fields, mode):
    for batch in ({}, {"dp_size": 2, "batch_num_tokens": 200, "global_batch_size": 40, "loss_scale_factor": 9}):
        found, expected = (call(name, fields, mode, batch=batch) for name in ("in2x-dapo", "vanilla"))
        same(found[:2], expected[:2])
        assert expected[1].abs().max() > 1e-4


def test_micro_batches_add_up(fields):
    batch = {"dp_size": 1, "batch_num_tokens": int(fields["completion_mask_BT"].sum()), "global_batch_size": 24}
    whole = call("in2x-tic-grpo", fields, "seq-mean-token-sum", batch=batch)
    parts = [
        call("in2x-tic-grpo", fields, "seq-mean-token-sum", batch=batch, rows=slice(at, at + 8)) for at in (0, 8, 16)
    ]
    same(sum(part[0] for part in parts), whole[0])
    same(torch.cat([part[1] for part in parts]), whole[1])


def test_weights_for_the_sampler_are_verls(fields):
    weights_BT = torch.rand(24, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 2
    weights_BT[2:5] = 0.0
    found, expected = (call(name, fields, "token-mean", weights=weights_BT) for name in ("in2x-dapo", "vanilla"))
    same(found[:2], expected[:2])
    assert not found[1][2:5].any()


def test_weights_of_completions_multiply_the_gradient(fields):
    weights_BT = torch.linspace(0.2, 1.8, 24, dtype=torch.float64)[:, None].expand(24, 5)
    plain = call("in2x-tic-grpo", fields, "seq-mean-token-sum")
    found = call("in2x-tic-grpo", fields, "seq-mean-token-sum", weights=weights_BT)
    same(found[1], plain[1] * weights_BT)


def test_what_cannot_be_is_refused(fields):
    with pytest.raises(ValueError, match="loss_agg_mode: expected one of"):
        call("in2x-tic-grpo", fields, "token-sum")
    mask_BT = fields["completion_mask_BT"]
    with pytest.raises(ValueError, match="same one for all tokens"):
        core.get_policy_loss_fn("in2x-tic-grpo")(
            fields["old_logprobs_BT"], fields["logprobs_BT"], fields["entropy_BT"], mask_BT, "token-mean", config()
        )


def test_verl_finds_the_reward_and_reads_the_prompts(tmp_path, tokenizer):
    pytest.importorskip("polars")
    from omegaconf import OmegaConf
    from verl.trainer.ppo.reward import get_custom_reward_fn
    from verl.utils.dataset.rl_dataset import RLHFDataset

    from in2x.rl.adapters.prompts import prompt_set

    row = {
        "id": "t:1", "epoch": 0, "task": "translate", "direction": "en-ja", "difficulty": "simple", "prompt": "神戸",
        "response": "", "source": "I live in Kobe.", "reference": "神戸に住んでいます。", "group": 3,
    }  # fmt: skip
    prompt_set(pl.DataFrame([row, row | {"id": "t:2"}])).write_parquet(tmp_path / "prompts.parquet")
    settings = {"cache_dir": str(tmp_path), "prompt_key": "prompt", "max_prompt_length": 64, "truncation": "error"}
    settings |= {"filter_overlong_prompts": True, "filter_overlong_prompts_workers": 1, "return_raw_chat": True}
    dataset = RLHFDataset(str(tmp_path / "prompts.parquet"), tokenizer, OmegaConf.create(settings))
    assert len(dataset) == 2
    first = dataset[0]
    assert first["raw_prompt"] == [{"role": "user", "content": "神戸"}]
    own = {"path": "pkg://in2x.rl.adapters.rewards", "name": "compute_score"}
    own["reward_kwargs"] = {"weights": {"adequacy": 3.0}}
    function = get_custom_reward_fn(OmegaConf.create({"reward": {"custom_reward_function": own}}))
    truth = first["reward_model"]["ground_truth"]
    found = function(
        data_source=first["data_source"], solution_str=truth, ground_truth=truth, extra_info=first["extra_info"]
    )
    assert found["score"] == pytest.approx(3.0)
