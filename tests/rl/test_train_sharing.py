"""The rl stage with what it can leave out: prompts computed once, and no pass for the old log-probabilities."""

import pytest
from safetensors.torch import load

from in2x.artifacts import In2xError
from in2x.rl import rollouts, sharing, train


@pytest.fixture
def stage(tmp_path, make_model, tokenizer, monkeypatch, rl_stage, corpus):
    inputs = rl_stage.make_inputs(tmp_path / "inputs", make_model(), tokenizer, corpus)
    return rl_stage.RlStage(tmp_path, inputs, monkeypatch)


def test_a_run_with_shared_prompts_differs_by_rounding_only(stage, monkeypatch):
    calls, real = [], rollouts.shared_logprobs
    monkeypatch.setattr(rollouts, "shared_logprobs", lambda *given: calls.append(1) or real(*given))
    plain = load(stage.run("plain", num_batches=1, lr=1e-3, share_prompts=False).weights)
    assert not calls
    shared = load(stage.run("shared", num_batches=1, lr=1e-3).weights)  # left out, it is on
    assert calls and max(float((plain[name] - shared[name]).abs().max()) for name in plain) < 1e-4


def test_a_sliding_window_is_refused_before_any_rollout(stage, monkeypatch):
    real = train.load_model

    def sliding(folder):
        model = real(folder)
        model.config.layer_types = ["sliding_attention"] * 2
        return model

    monkeypatch.setattr(train, "load_model", sliding)
    with pytest.raises(In2xError, match=r"rl\.share_prompts"):
        stage.run("refused", share_prompts=True)
    assert not (stage.root / "refused" / "rollouts").exists()


def test_where_the_model_does_not_allow_it_and_nothing_is_asked_for_the_stage_says_so(stage, monkeypatch):
    said = []
    monkeypatch.setattr(sharing, "unsupported", lambda model: "its attention is eager")
    monkeypatch.setattr(train, "say", said.append)
    monkeypatch.setattr(rollouts, "shared_logprobs", None)
    stage.run("own", num_batches=1)
    assert ["rl.share_prompts: off" in line for line in said].count(True) == 1


def test_a_run_with_the_samplers_log_probabilities_makes_no_pass_and_differs_by_rounding_only(stage, monkeypatch):
    plain = load(stage.run("trainer", num_batches=2).weights)
    monkeypatch.setattr(rollouts, "_fill_logprobs", None)
    sampled = stage.run("sampler", num_batches=2, old_logprobs="sampler")
    weights = load(sampled.weights)
    assert max(float((plain[name] - weights[name]).abs().max()) for name in plain) < 1e-4
    assert {line["mismatch_kl"] for line in sampled.log} == {0.0}


def test_another_precision_has_no_log_probabilities_of_the_samplers(stage):
    with pytest.raises(In2xError, match=r"rl\.old_logprobs: .* dtype 'float32'"):
        stage.run("refused", old_logprobs="sampler", dtype="bfloat16")
