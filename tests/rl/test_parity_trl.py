"""Our losses beside TRL's own code, called on the same log-probabilities: `pip install "trl==1.16.*"`.

The trainers are made without their constructors, which want a model and a dataset; `_compute_loss` is theirs. Their
forward pass is replaced by given log-probabilities and entropies, and all processes by one.
"""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

from in2x.rl.algorithms import ALGORITHMS
from in2x.rl.entropy import EntropyControl, adapted_coefficient
from in2x.rl.inputs import LossInputs
from in2x.rl.measures import metric_means

trl = pytest.importorskip("trl", reason="TRL is not installed: pip install 'trl==1.16.*'")
if not trl.__version__.startswith("1.16."):
    pytest.skip(f"written beside TRL 1.16, found {trl.__version__}", allow_module_level=True)

B = 24


@pytest.fixture
def fields(off_policy_fields):
    return off_policy_fields


def trainer_of(cls, fields, logprobs_BT, entropy_BT, **attributes):
    """A trainer whose forward pass gives these log-probabilities; attributes are those of its arguments."""
    trainer = object.__new__(cls)
    plain = {
        "model": SimpleNamespace(training=True),
        "accelerator": SimpleNamespace(
            num_processes=1, sync_gradients=True, gather=lambda x: x, reduce=lambda x, reduction: x
        ),
        "args": SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=1),
        "_metrics": {"train": defaultdict(list)},
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "beta": 0.0,
        "epsilon_low": 0.2,
        "epsilon_high": 0.2,
        "use_vllm": False,
        "vllm_importance_sampling_correction": False,
        "current_gradient_accumulation_steps": 1,
        "max_completion_length": fields["max_completion_tokens"],
        "_entropy_bonus_enabled": False,
        "use_adaptive_entropy": False,
        "_get_per_token_logps_and_entropies": lambda *_, **__: (logprobs_BT, entropy_BT, None),
    }
    for name, value in (plain | attributes).items():
        setattr(trainer, name, value)
    return trainer


def batch_of(fields, **more):
    ids_BT = torch.zeros(B, 5, dtype=torch.long)
    return {
        "prompt_ids": ids_BT[:, :1],
        "prompt_mask": torch.ones(B, 1),
        "completion_ids": ids_BT,
        "completion_mask": fields["completion_mask_BT"].double(),
        "advantages": fields["advantages_B"],
        "old_per_token_logps": fields["old_logprobs_BT"],
        "old_logps": (fields["old_logprobs_BT"] * fields["completion_mask_BT"]).sum(1),
        "ref_per_token_logps": fields["ref_logprobs_BT"],
        "num_items_in_batch": torch.tensor(float(fields["num_tokens"])),
    } | more


def theirs(cls, fields, batch=None, **attributes):
    """TRL's loss, its gradients, and what it logged."""
    leaves = [fields["logprobs_BT"].clone().requires_grad_(), fields["entropy_BT"].clone().requires_grad_()]
    trainer = trainer_of(cls, fields, *leaves, **attributes)
    loss = trainer._compute_loss(None, batch_of(fields, **(batch or {})))
    return loss.detach(), torch.autograd.grad(loss, leaves, materialize_grads=True), trainer


def ours(name, fields, **chosen):
    leaves = [fields["logprobs_BT"].clone().requires_grad_(), fields["entropy_BT"].clone().requires_grad_()]
    row = ALGORITHMS[name]
    settings = row.settings(**{"entropy_coefficient": 0.0, "kl_coefficient": 0.0, "mismatch": "none"} | chosen)
    inputs = LossInputs(**fields | {"logprobs_BT": leaves[0], "entropy_BT": leaves[1]})
    output = row.loss(inputs, settings)
    return output.loss.detach(), torch.autograd.grad(output.loss, leaves, materialize_grads=True), output.metrics


def assert_equal(mine, other):
    """Loss and both gradients, to 1e-6."""
    for actual, expected in zip((mine[0], *mine[1]), (other[0], *other[1]), strict=True):
        torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-6)
    assert other[1][0].abs().max() > 1e-3


BONUS = {"_entropy_bonus_enabled": True, "entropy_coef": 0.01}
SEQUENCE = {"loss_type": "grpo", "importance_sampling_level": "sequence"}


@pytest.mark.parametrize(
    ("name", "chosen", "attributes"),
    [
        ("grpo", {}, {"loss_type": "grpo"}),
        ("grpo", {"kl_coefficient": 0.04}, {"loss_type": "grpo", "beta": 0.04}),
        ("grpo", {"entropy_coefficient": 0.01}, {"loss_type": "grpo"} | BONUS),
        ("dr-grpo", {}, {"loss_type": "dr_grpo"}),
        ("dapo", {}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        ("dapo", {"length_normalise": "trajectory-mean"}, {"loss_type": "luspo", "epsilon_high": 0.28}),
        ("dapo", {"length_normalise": "token-mean"}, {"loss_type": "bnpo", "epsilon_high": 0.28}),
        ("gspo", {}, SEQUENCE | {"epsilon_low": 3e-4, "epsilon_high": 4e-4}),
        ("gspo", {"clip_low": 0.2, "clip_high": 0.2}, SEQUENCE),
        ("cispo", {}, {"loss_type": "cispo", "epsilon_high": 1.28}),
    ],
)
def test_grpo_trainer(fields, name, chosen, attributes):
    assert_equal(ours(name, fields, **chosen), theirs(trl.GRPOTrainer, fields, **attributes))


@pytest.mark.parametrize(("name", "level"), [("dapo", "token"), ("gspo", "sequence")])
def test_the_dual_clip_is_their_delta(fields, name, level):
    """Their delta bounds the ratio of positive advantages too, where the upper clip is lower anyway."""
    arguments = SimpleNamespace(delta=1.5, use_bias_correction_kl=False, steps_per_generation=1)
    attributes = {"loss_type": "dapo" if level == "token" else "grpo", "importance_sampling_level": level}
    other = theirs(trl.GRPOTrainer, fields, args=arguments, **attributes)
    mine = ours(name, fields, clip_low=0.2, clip_high=0.2, dual_clip=1.5)
    assert_equal(mine, other)
    assert metric_means(mine[2])["dual_clip_fraction"] > 0


def test_a_product_ratio_with_a_two_sided_clip_is_their_rloo(fields):
    mine = ours("tic-grpo", fields, clip="two-sided", clip_high=0.2, dual_clip="none")
    other = theirs(trl.RLOOTrainer, fields)
    assert_equal(mine, other)
    logged = other[2]._metrics["train"]
    means = metric_means(mine[2])
    assert means["clip_low_fraction"] == pytest.approx(logged["clip_ratio/low_mean"][0])
    assert means["clip_high_fraction"] == pytest.approx(logged["clip_ratio/high_mean"][0])
    assert means["clip_low_fraction"] > 0 and means["clip_high_fraction"] > 0


@pytest.mark.parametrize("name", ["dapo", "gspo"])
def test_clip_fractions_and_entropy(fields, name):
    level = ALGORITHMS[name].level
    mine = ours(name, fields, clip_low=0.2, clip_high=0.2)
    other = theirs(trl.GRPOTrainer, fields, loss_type="grpo", importance_sampling_level=level)
    logged, means = other[2]._metrics["train"], metric_means(mine[2])
    assert means["clip_low_fraction"] == pytest.approx(logged["clip_ratio/low_mean"][0])
    assert means["clip_high_fraction"] == pytest.approx(logged["clip_ratio/high_mean"][0])
    assert means["entropy"] == pytest.approx(logged["entropy"][0])


@pytest.mark.parametrize("mismatch", ["truncate", "mask"])
@pytest.mark.parametrize("mismatch_level", ["token", "sequence"])
@pytest.mark.parametrize(("name", "loss_type"), [("dapo", "dapo"), ("grpo", "grpo"), ("cispo", "cispo")])
def test_weights_for_the_sampler(fields, name, loss_type, mismatch, mismatch_level):
    """They take the weights as an input of the loss; here they are written out once more."""
    log_ratio_BT = torch.where(
        fields["completion_mask_BT"], fields["old_logprobs_BT"] - fields["sampling_logprobs_BT"], 0.0
    )
    ratio = log_ratio_BT.exp() if mismatch_level == "token" else log_ratio_BT.sum(1, keepdim=True).exp()
    weights = ratio.clamp(max=1.5) if mismatch == "truncate" else ratio.masked_fill(ratio > 1.5, 0.0)
    other = theirs(
        trl.GRPOTrainer,
        fields,
        {"importance_sampling_ratio": weights},
        loss_type=loss_type,
        epsilon_high=1.28 if name == "cispo" else 0.28,
        use_vllm=True,
        vllm_importance_sampling_correction=True,
    )
    clips = {} if name == "cispo" else {"clip_low": 0.2, "clip_high": 0.28}
    mine = ours(name, fields, mismatch=mismatch, mismatch_level=mismatch_level, mismatch_cap=1.5, **clips)
    assert_equal(mine, other)


@pytest.mark.parametrize("entropy_of_the_step", ["below", "above"])
def test_the_adaptive_coefficient(fields, entropy_of_the_step):
    entropy = fields["entropy_BT"][fields["completion_mask_BT"]].mean().item()
    control = EntropyControl(target=entropy * (2 if entropy_of_the_step == "below" else 0.5), step=0.004, high=0.1)
    arguments = SimpleNamespace(
        delta=None,
        use_bias_correction_kl=False,
        steps_per_generation=1,
        entropy_target=control.target,
        entropy_coef_delta=control.step,
        entropy_coef_min=control.low,
        entropy_coef_max=control.high,
    )
    _, _, trainer = theirs(
        trl.GRPOTrainer,
        fields,
        loss_type="grpo",
        args=arguments,
        _entropy_bonus_enabled=True,
        use_adaptive_entropy=True,
        entropy_coef=0.01,
        _last_world_entropy=0.0,
        _entropy_window_stats=None,
    )
    assert adapted_coefficient(0.01, entropy, control) == pytest.approx(trainer.entropy_coef)
