"""Builders of small loss inputs, in float64 so that hand-computed values hold to the last digit."""

import pytest
import torch

from in2x.rl.inputs import LossInputs


def pad(rows, filler, width=None):
    width = width or max(len(row) for row in rows)
    return torch.tensor([list(row) + [filler] * (width - len(row)) for row in rows], dtype=torch.float64)


@pytest.fixture
def make_inputs():
    """LossInputs from ragged rows of log-ratios; masked positions hold `filler`."""

    def make(log_ratio, advantages, logprobs=None, filler=0.0, width=None, **fields):
        logprobs = logprobs or [[-1.0] * len(row) for row in log_ratio]
        new_BT, ratio_BT = pad(logprobs, filler, width), pad(log_ratio, 0.0, width)
        lengths = [len(row) for row in log_ratio]
        mask_BT = torch.arange(new_BT.shape[1])[None] < torch.tensor(lengths)[:, None]
        counts = {
            "num_completions": sum(length > 0 for length in lengths),
            "num_tokens": sum(lengths),
            "max_completion_tokens": 10,
        }
        return LossInputs(
            logprobs_BT=new_BT.requires_grad_(),
            old_logprobs_BT=(new_BT - ratio_BT).detach(),
            completion_mask_BT=mask_BT,
            advantages_B=torch.tensor(advantages, dtype=torch.float64),
            **counts | fields,
        )

    return make


@pytest.fixture
def full_fields():
    """Every field of a batch of six ragged completions, off the policy, as keyword arguments."""
    generator = torch.Generator().manual_seed(7)
    lengths_B = torch.tensor([5, 1, 3, 4, 2, 5])
    mask_BT = torch.arange(5)[None] < lengths_B[:, None]

    def noise(scale):
        return scale * torch.randn(6, 5, generator=generator, dtype=torch.float64)

    logprobs_BT = -noise(1.0).abs() - 0.1
    return {
        "logprobs_BT": logprobs_BT,
        "old_logprobs_BT": logprobs_BT + noise(0.2),
        "completion_mask_BT": mask_BT,
        "advantages_B": torch.tensor([1.2, -0.7, 0.4, -2.0, -0.3, 0.9], dtype=torch.float64),
        "num_completions": 6,
        "num_tokens": int(mask_BT.sum()),
        "max_completion_tokens": 8,
        "entropy_BT": noise(1.0).abs(),
        "ref_logprobs_BT": logprobs_BT + noise(0.3),
        "sampling_logprobs_BT": logprobs_BT + noise(0.4),
    }


@pytest.fixture
def off_policy_fields(full_fields):
    """Four times the completions, off the policy by 0.7 a token: every bound is reached, at every level."""
    generator = torch.Generator().manual_seed(11)
    tiled = {
        name: value.repeat(4, *[1] * (value.ndim - 1)) if isinstance(value, torch.Tensor) else 4 * value
        for name, value in full_fields.items()
    }
    noise_BT = 0.7 * torch.randn(24, 5, generator=generator, dtype=torch.float64)
    counts = {"max_completion_tokens": full_fields["max_completion_tokens"]}
    return tiled | counts | {"old_logprobs_BT": tiled["logprobs_BT"] + noise_BT}


@pytest.fixture(scope="session")
def rl_stage():
    """The module stage.py beside this file."""
    import importlib.util
    import sys
    from pathlib import Path

    specification = importlib.util.spec_from_file_location("rl_stage", Path(__file__).with_name("stage.py"))
    module = sys.modules["rl_stage"] = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
