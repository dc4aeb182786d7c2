"""Our functions beside verl's own, on the same log-probabilities. verl's loss needs no GPU, only its imports:

pip install --no-deps verl==0.9.1; pip install tensordict ray omegaconf hydra-core codetiming cachetools pandas
"""

import numpy as np
import pytest
import torch

from in2x.rl.advantages import ADVANTAGES
from in2x.rl.aggregation import AGGREGATIONS
from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.entropy import drawn_from_band, highest, token_covariance
from in2x.rl.inputs import LossInputs, LossSettings
from in2x.rl.kl import KL_ESTIMATORS
from in2x.rl.measures import metric_means
from in2x.rl.mismatch import MISMATCHES, sampler_ratio

WHY = "verl is not installed with its imports: see the head of this file"
core = pytest.importorskip("verl.trainer.ppo.core_algos", reason=WHY, exc_type=ImportError)
correction = pytest.importorskip("verl.trainer.ppo.rollout_corr_helper", reason=WHY, exc_type=ImportError)

B = 24
MODES = {
    "trajectory-mean": "seq-mean-token-sum",
    "sequence-mean": "seq-mean-token-mean",
    "token-mean": "token-mean",
    "constant-length": "seq-mean-token-sum-norm",
}


@pytest.fixture
def fields(off_policy_fields):
    return off_policy_fields


def config(**changes):
    from verl.workers.config import ActorConfig, PolicyLossConfig

    policy_loss = PolicyLossConfig(**changes.pop("policy_loss", {}))
    plain = {"strategy": "fsdp", "rollout_n": 1, "use_dynamic_bsz": True, "policy_loss": policy_loss}
    return ActorConfig(**plain | {"clip_ratio": 0.2, "clip_ratio_low": 0.2, "clip_ratio_high": 0.28} | changes)


def same(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-6)


def theirs(loss_name, fields, aggregation, weights=None, **changes):
    """verl's loss, its gradient, and what it logged."""
    leaf = fields["logprobs_BT"].clone().requires_grad_()
    mask_BT = fields["completion_mask_BT"].double()
    loss, logged = core.get_policy_loss_fn(loss_name)(
        old_log_prob=fields["old_logprobs_BT"],
        log_prob=leaf,
        advantages=fields["advantages_B"][:, None].expand(B, 5).clone(),
        response_mask=mask_BT,
        loss_agg_mode=MODES[aggregation],
        config=config(**changes),
        rollout_is_weights=weights,
    )
    return loss.detach(), torch.autograd.grad(loss, leaf)[0], logged


def ours(name, fields, **chosen):
    leaf = fields["logprobs_BT"].clone().requires_grad_()
    row = ALGORITHMS[name]
    settings = row.settings(**{"entropy_coefficient": 0.0, "kl_coefficient": 0.0, "mismatch": "none"} | chosen)
    output = row.loss(LossInputs(**fields | {"logprobs_BT": leaf}), settings)
    return output.loss.detach(), torch.autograd.grad(output.loss, leaf)[0], metric_means(output.metrics)


def assert_equal(mine, other):
    """Loss and gradient, to 1e-6."""
    same(mine[0], other[0])
    same(mine[1], other[1])
    assert other[1].abs().max() > 1e-3


@pytest.mark.parametrize("aggregation", ["trajectory-mean", "sequence-mean", "token-mean"])
def test_token_ratios_with_a_two_sided_clip_and_a_dual_clip(fields, aggregation):
    mine = ours("dapo", fields, dual_clip=1.5, length_normalise=aggregation)
    other = theirs("vanilla", fields, aggregation, clip_ratio_c=1.5)
    assert_equal(mine, other)
    clipped = mine[2]["clip_low_fraction"] + mine[2]["clip_high_fraction"]
    assert clipped == pytest.approx(other[2]["actor/pg_clipfrac"])
    assert mine[2]["dual_clip_fraction"] == pytest.approx(other[2]["actor/pg_clipfrac_lower"])
    assert clipped > 0 and mine[2]["dual_clip_fraction"] > 0


def test_sequence_ratios(fields):
    mine = ours("gspo", fields, clip_low=0.2, clip_high=0.28)
    assert_equal(mine, theirs("gspo", fields, "sequence-mean"))
    assert mine[2]["clip_low_fraction"] > 0 and mine[2]["clip_high_fraction"] > 0


def test_cispo(fields):
    assert_equal(ours("cispo", fields, clip="two-sided"), theirs("cispo", fields, "token-mean"))


@pytest.mark.parametrize("aggregation", ["trajectory-mean", "token-mean"])
def test_reinforce(fields, aggregation):
    mine = ours("rloo", fields, length_normalise=aggregation)
    assert_equal(mine, theirs("gpg", fields, aggregation))


@pytest.mark.parametrize("mismatch_level", ["token", "sequence"])
@pytest.mark.parametrize(("mismatch", "floor", "threshold"), [("truncate", 0.0, 1.5), ("mask", 0.5, "0.5_1.5")])
def test_weights_for_the_sampler(fields, mismatch_level, mismatch, floor, threshold):
    mask_BT = fields["completion_mask_BT"]
    weights_BT, logged = correction.compute_rollout_correction_weights(
        fields["old_logprobs_BT"] - fields["sampling_logprobs_BT"], mask_BT.double(), mismatch_level, threshold
    )
    inputs = LossInputs(**fields)
    weights = MISMATCHES[mismatch](sampler_ratio(inputs, mismatch_level == "token"), floor, 1.5)
    mine_BT = weights if mismatch_level == "token" else weights[:, None].expand(B, 5)
    same(mine_BT[mask_BT], weights_BT[mask_BT])
    chosen = {"mismatch": mismatch, "mismatch_level": mismatch_level, "mismatch_floor": floor, "mismatch_cap": 1.5}
    assert_equal(
        ours("dapo", fields, **chosen),
        theirs("vanilla", fields, "token-mean", weights_BT, clip_ratio_c=1e6),
    )


def test_kl_cov(fields):
    """Theirs chooses by the current policy and clips nothing."""
    covariance_BT = token_covariance(fields["logprobs_BT"], fields["advantages_B"], fields["completion_mask_BT"])
    chosen_BT = highest(covariance_BT, fields["completion_mask_BT"], 0.1)
    assert chosen_BT.sum() == 8
    mine = ours(
        "dapo",
        fields | {"high_covariance_BT": chosen_BT},
        clip="none",
        covariance_control="kl-cov",
        covariance_kl_coefficient=0.3,
    )
    other = theirs("kl_cov", fields, "token-mean", policy_loss={"kl_cov_ratio": 0.1, "ppo_kl_coef": 0.3})
    assert_equal(mine, other)
    assert not torch.allclose(mine[1], ours("dapo", fields, clip="none")[1])


def test_clip_cov_has_the_same_gradient(fields):
    """All of the band is drawn, since the draws differ. Theirs takes the tokens' losses away too."""
    covariance_BT = token_covariance(fields["logprobs_BT"], fields["advantages_B"], fields["completion_mask_BT"])
    chosen_BT = drawn_from_band(covariance_BT, fields["completion_mask_BT"], 1.0, low=0.3, high=2.0)
    _, gradient_BT, _ = ours("dapo", fields | {"high_covariance_BT": chosen_BT}, covariance_control="clip-cov")
    policy_loss = {"clip_cov_ratio": 1.0, "clip_cov_lb": 0.3, "clip_cov_ub": 2.0}
    _, their_gradient_BT, _ = theirs("clip_cov", fields, "token-mean", policy_loss=policy_loss)
    same(gradient_BT, their_gradient_BT)
    assert not torch.allclose(gradient_BT, ours("dapo", fields)[1])


@pytest.mark.parametrize("name", KL_ESTIMATORS)
def test_kl_estimators(fields, name):
    logprobs_BT = fields["logprobs_BT"].clone().requires_grad_()
    expected_BT = core.kl_penalty(logprobs_BT, fields["ref_logprobs_BT"], name)
    actual_BT = KL_ESTIMATORS[name](logprobs_BT - fields["ref_logprobs_BT"])
    same(actual_BT, expected_BT)
    same(torch.autograd.grad(actual_BT.sum(), logprobs_BT), torch.autograd.grad(expected_BT.sum(), logprobs_BT))


@pytest.mark.parametrize("name", AGGREGATIONS)
def test_aggregations_with_the_counts_of_a_whole_step(fields, name):
    inputs = LossInputs(**fields | {"num_completions": 40, "num_tokens": 200})
    losses_BT = fields["entropy_BT"]
    expected = core.agg_loss(
        losses_BT,
        fields["completion_mask_BT"].double(),
        MODES[name],
        batch_num_tokens=200,
        global_batch_size=40,
        loss_scale_factor=inputs.max_completion_tokens,
    )
    same(AGGREGATIONS[name](losses_BT, inputs), expected)


@pytest.mark.parametrize(
    ("name", "arguments", "function"),
    [
        ("group-standardised-sample", {"delta": 1e-6}, "compute_grpo_outcome_advantage"),
        ("group-mean", {}, "compute_grpo_outcome_advantage"),
        ("leave-one-out", {}, "compute_rloo_outcome_advantage"),
    ],
)
def test_advantages(name, arguments, function):
    rewards_PG = torch.tensor([[0.1, 0.9, 0.4, 0.3], [1.0, 0.0, 0.2, 0.6]], dtype=torch.float64)
    options = {"norm_adv_by_std_in_grpo": name != "group-mean"} if "grpo" in function else {}
    expected, _ = getattr(core, function)(
        rewards_PG.reshape(8, 1).clone(), torch.ones(8, 1, dtype=torch.float64), np.repeat([0, 1], 4), **options
    )
    same(ADVANTAGES[name](rewards_PG, **arguments), expected.view(2, 4))


def test_the_authors_shares_and_bands_are_the_defaults():
    from verl.workers.config import PolicyLossConfig

    theirs = PolicyLossConfig()
    assert LossSettings().covariance_fraction == theirs.kl_cov_ratio == theirs.clip_cov_ratio
    low, high = drawn_from_band.__defaults__[-2:]
    assert (low, high) == (theirs.clip_cov_lb, theirs.clip_cov_ub)
