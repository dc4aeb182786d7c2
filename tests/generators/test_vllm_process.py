"""vLLM in this process: what is asked of it, and what is made of its answers; the engine where it is installed."""

import importlib.util
import sys

import pytest

from in2x.artifacts import In2xError
from in2x.generators import make_generator
from in2x.generators.agreement import mean_difference
from in2x.generators.vllm_process import as_completion, request_seed, sampling_options
from in2x.sections.rl import Generation


def test_a_completion_keeps_its_stop_token_and_log_probabilities(tokenizer):
    made = as_completion(tokenizer, (20, 21, 3), (-0.5, -1.0, -0.25), {3})
    assert made.token_ids == [20, 21, 3] and made.sampling_logprobs == [-0.5, -1.0, -0.25] and made.finished
    assert made.text == tokenizer.decode([20, 21]).strip()
    assert not as_completion(tokenizer, (20, 21), (-0.5, -1.0), {3}).finished


def test_seeds_differ_by_run_prompt_and_part():
    seeds = {request_seed(seed, key, part) for seed in (1, 2) for key in (1, 2) for part in (0, 1)}
    assert len(seeds) == 8 and all(0 <= seed < 2**63 for seed in seeds)


def test_end_of_turn_is_ignored_only_where_it_is_no_stop(tokenizer):
    eos = tokenizer.eos_token_id
    assert not sampling_options({eos}, tokenizer, 8, 1.0)["ignore_eos"]
    assert sampling_options({5}, tokenizer, 8, 1.0)["ignore_eos"]


def test_without_the_package_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(In2xError, match="in2x\\[vllm\\]"):
        make_generator(Generation(kind="vllm"), tmp_path)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed in this environment")
def test_the_engine_follows_the_policy(tmp_path, make_model, tokenizer):
    import torch

    model = make_model(seed=1, head_dim=32)
    sampler = make_generator(Generation(kind="vllm", dtype="float32", max_context_tokens=64), tmp_path)
    prompts, options = [[5, 9, 40], [7]], {"stop_ids": {3}, "max_completion_tokens": 4, "num_samples": 3}
    for factor in (1, 20):
        with torch.no_grad():
            model.get_output_embeddings().weight.mul_(factor)
        groups = sampler(model, tokenizer, prompts, temperature=0.8, seed=5, keys=[0, 1], **options)
        for prompt, group in zip(prompts, groups, strict=True):
            assert mean_difference(model, prompt, group, 0.8) < 1e-4
