"""A GRPOTrainer with our loss: beside TRL's own where they agree, and a short run of it."""

from collections import defaultdict
from types import SimpleNamespace

import pytest
import torch

trl = pytest.importorskip("trl", reason="TRL is not installed: pip install 'trl==1.16.*'")
if not trl.__version__.startswith("1.16."):
    pytest.skip(f"written beside TRL 1.16, found {trl.__version__}", allow_module_level=True)

from in2x.rl.adapters.trl import trainer_class  # noqa: E402

B = 24


def trainer_of(cls, fields, processes=1, accumulated=1, steps_per_generation=1, **attributes):
    """A trainer whose forward pass gives the log-probabilities of the fields."""
    trainer = object.__new__(cls)
    plain = {
        "model": SimpleNamespace(training=True),
        "accelerator": SimpleNamespace(
            num_processes=processes, sync_gradients=True, gather=lambda x: x, reduce=lambda x, reduction: x
        ),
        "args": SimpleNamespace(delta=None, use_bias_correction_kl=False, steps_per_generation=steps_per_generation),
        "_metrics": {"train": defaultdict(list)},
        "aux_loss_enabled": False,
        "top_entropy_quantile": 1.0,
        "off_policy_mask_threshold": None,
        "importance_sampling_level": "token",
        "loss_type": "dapo",
        "beta": 0.0,
        "epsilon_low": 0.2,
        "epsilon_high": 0.28,
        "use_vllm": False,
        "current_gradient_accumulation_steps": accumulated,
        "max_completion_length": fields["max_completion_tokens"],
        "_entropy_bonus_enabled": False,
    }
    for name, value in (plain | attributes).items():
        setattr(trainer, name, value)
    return trainer


def loss_of(cls, fields, batch=None, **attributes):
    leaves = [fields["logprobs_BT"].clone().requires_grad_(), fields["entropy_BT"].clone().requires_grad_()]
    trainer = trainer_of(cls, fields, **attributes)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (*leaves, None)
    ids_BT = torch.zeros(B, 5, dtype=torch.long)
    inputs = {
        "prompt_ids": ids_BT[:, :1],
        "prompt_mask": torch.ones(B, 1),
        "completion_ids": ids_BT,
        "completion_mask": fields["completion_mask_BT"].double(),
        "advantages": fields["advantages_B"],
        "old_per_token_logps": fields["old_logprobs_BT"],
        "ref_per_token_logps": fields["ref_logprobs_BT"],
        "num_items_in_batch": torch.tensor(float(fields["num_tokens"])),
    } | (batch or {})
    loss = trainer._compute_loss(None, inputs)
    return loss.detach(), torch.autograd.grad(loss, leaves, materialize_grads=True), trainer


@pytest.mark.parametrize(("name", "attributes"), [("dapo", {}), ("grpo", {"loss_type": "grpo", "epsilon_high": 0.2})])
@pytest.mark.parametrize("accumulated", [1, 2])
def test_losses_are_trls_where_the_settings_agree(off_policy_fields, name, attributes, accumulated):
    """Two processes, each of which sees an eighth of a batch of rollouts that two steps are made of."""
    window = {"processes": 2, "accumulated": accumulated, "steps_per_generation": 2 * accumulated}
    batch = {"num_items_in_batch": torch.tensor(float(off_policy_fields["num_tokens"] * 4 * accumulated))}
    chosen = {"mismatch": "none"} if name == "dapo" else {"mismatch": "none", "kl_coefficient": 0.0}
    mine = loss_of(trainer_class(name, **chosen), off_policy_fields, batch, **window)
    other = loss_of(trl.GRPOTrainer, off_policy_fields, batch, **attributes, **window)
    if name == "grpo":  # its mean is of this process, before DDP averages: the same
        torch.testing.assert_close(mine[0], other[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(mine[1][0], other[1][0], rtol=0, atol=1e-6)
    assert other[1][0].abs().max() > 1e-4
    logged = mine[2]._metrics["train"]
    assert logged["in2x/clip_high_fraction"][0] > 0


def test_the_trajectory_loss_has_one_weight_for_a_completion(off_policy_fields):
    _, (gradient_BT, entropy_gradient_BT), _ = loss_of(trainer_class(), off_policy_fields)
    mask_BT = off_policy_fields["completion_mask_BT"]
    first_B = gradient_BT[:, :1].expand_as(gradient_BT)
    torch.testing.assert_close(gradient_BT[mask_BT], first_B[mask_BT])
    assert not gradient_BT[~mask_BT].any()
    torch.testing.assert_close(entropy_gradient_BT[mask_BT], torch.full_like(entropy_gradient_BT[mask_BT],
                               -0.01 / off_policy_fields["num_tokens"]))  # fmt: skip


def test_settings_that_nothing_reads_are_refused():
    with pytest.raises(ValueError, match="clip_low: nothing reads it"):
        trainer_class("tic-grpo", clip_low=0.1)
    with pytest.raises(ValueError, match="algorithm: expected one of"):
        trainer_class("ppo")
    with pytest.raises(ValueError, match="covariance_control"):
        trainer_class("dapo", covariance_control="kl-cov")


def test_a_reference_must_be_computed(off_policy_fields):
    with pytest.raises(ValueError, match="beta"):
        loss_of(trainer_class("tic-grpo", kl_coefficient=0.1), off_policy_fields, {"ref_per_token_logps": None})


def test_a_short_run(tmp_path, make_model, tokenizer):
    from datasets import Dataset

    model = make_model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    prompts = [{"prompt": [{"role": "user", "content": text}]} for text in ("神戸", "どうも！", "Thank you!", "Kobe")]
    trainer = trainer_class("tic-grpo", clip_high=0.3)(
        model=model,
        reward_funcs=lambda completion_ids, **columns: [float(len(set(ids))) for ids in completion_ids],
        train_dataset=Dataset.from_list(prompts),
        processing_class=tokenizer,
        args=trl.GRPOConfig(
            output_dir=str(tmp_path), per_device_train_batch_size=4, steps_per_generation=2, num_generations=4,
            max_completion_length=6, max_steps=2, learning_rate=1e-3, use_cpu=True, bf16=False, report_to="none",
            save_strategy="no", logging_steps=1, gradient_checkpointing=False, disable_tqdm=True, warmup_steps=0,
        ),
    )  # fmt: skip
    trainer.train()
    logged = trainer.state.log_history
    assert [entry["in2x/ratio/trajectory"] for entry in logged[:1]] == [pytest.approx(1.0, abs=1e-4)]
    assert any((one - two).abs().max() > 0 for one, two in zip(before, model.parameters(), strict=True))
