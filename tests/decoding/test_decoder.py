"""The forward pass for groups against transformers' own, on random weights of both families."""

import pytest
import torch

from in2x.decoding import generate as module
from in2x.decoding.decoder import GroupDecoder, unsupported
from in2x.decoding.generate import generate
from in2x.decoding.generic import GenericDecoder

PROMPTS = [[5, 9, 40], [300, 7], [11, 12, 13, 14, 15, 16], [44], [8] * 9, [17, 18, 19, 20]]


def both_ways(monkeypatch, model, tokenizer, **options):
    """Completions by our forward pass and by transformers'."""
    used = []
    for name, decoder in (("GroupDecoder", GroupDecoder), ("GenericDecoder", GenericDecoder)):
        recorded = lambda *given, made=decoder: used.append(made) or made(*given)  # noqa: E731
        monkeypatch.setattr(module, name, recorded)
    assert unsupported(model) is None
    ours = generate(model, tokenizer, PROMPTS, **options)
    monkeypatch.setattr(module, "unsupported", lambda model: "compared")
    theirs = generate(model, tokenizer, PROMPTS, **options)
    assert set(used) == {GroupDecoder, GenericDecoder}
    return [c for group in ours for c in group], [c for group in theirs for c in group]


def loud(model):
    """Random weights so large that distributions are far from flat."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6)
            else:
                parameter.add_(torch.rand_like(parameter) - 0.5)
    return model


@pytest.mark.parametrize("family", ["qwen3", "llama"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_tokens_and_log_probabilities_equal_transformers(monkeypatch, make_model, tokenizer, family, temperature):
    model = loud(make_model(seed=3, family=family, num_heads=4, num_kv_heads=2, num_layers=3))
    stops = {int(token) for token in torch.arange(0, 320, 9)}  # so many that rows leave at different times
    options = {"stop_ids": stops, "num_samples": 1 if temperature == 0 else 5, "temperature": temperature}
    ours, theirs = both_ways(monkeypatch, model, tokenizer, max_completion_tokens=40, batch_size=20, seed=2, **options)
    assert [c.token_ids for c in ours] == [c.token_ids for c in theirs]
    assert len({len(c.token_ids) for c in ours}) > 1
    for one, other in zip(ours, theirs, strict=True):
        assert one.sampling_logprobs == pytest.approx(other.sampling_logprobs, abs=1e-5)


def test_untied_head_biases_and_scaled_rotations_equal_transformers(monkeypatch, tokenizer):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(5)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=3,
        num_key_value_heads=3, attention_bias=True, mlp_bias=True, tie_word_embeddings=False,
        rope_parameters={"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
    )  # fmt: skip
    model = loud(LlamaForCausalLM(config).eval())
    ours, theirs = both_ways(
        monkeypatch, model, tokenizer, stop_ids={1}, num_samples=3, temperature=1.0, max_completion_tokens=12
    )
    assert [c.token_ids for c in ours] == [c.token_ids for c in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.sampling_logprobs == pytest.approx(other.sampling_logprobs, abs=1e-5)


def test_rows_that_leave_change_nothing_for_those_that_stay(make_model):
    model = loud(make_model(seed=6, num_heads=4, num_kv_heads=2))
    prompts, tokens_TN = [[5, 9, 40], [7], [11, 12, 13, 14]], torch.randint(0, 320, (5, 12))
    with torch.inference_mode():
        whole, less = (GroupDecoder(model, prompts, 4, 40) for _ in range(2))
        torch.testing.assert_close(whole.start(), less.start())
        kept = torch.arange(12)
        for step, tokens_N in enumerate(tokens_TN):
            if step == 2:
                kept = torch.tensor([1, 8, 9, 11])  # one of the first prompt, none of the second, three of the third
                less.keep(kept)
            torch.testing.assert_close(less.step(tokens_N[kept]), whole.step(tokens_N)[kept])
    assert len(less.caches[0].prompt_keys) == 2


class Adapted(torch.nn.Module):
    """A projection with a low-rank change beside it."""

    def __init__(self, base):
        super().__init__()
        self.base_layer = base
        self.down, self.up = (
            torch.nn.Linear(*shape, bias=False) for shape in ((base.in_features, 2), (2, base.out_features))
        )

    def forward(self, x):
        return self.base_layer(x) + self.up(self.down(x))


def test_projections_with_an_adapter_equal_transformers(monkeypatch, make_model, tokenizer):
    model = make_model(seed=9)
    for layer in model.model.layers:
        layer.self_attn.q_proj, layer.mlp.down_proj = Adapted(layer.self_attn.q_proj), Adapted(layer.mlp.down_proj)
    options = {"stop_ids": {1}, "num_samples": 2, "temperature": 1.0, "max_completion_tokens": 5}
    ours, theirs = both_ways(monkeypatch, loud(model), tokenizer, **options)
    assert [c.token_ids for c in ours] == [c.token_ids for c in theirs]
    for one, other in zip(ours, theirs, strict=True):
        assert one.sampling_logprobs == pytest.approx(other.sampling_logprobs, abs=1e-5)


def test_what_our_forward_pass_has_not_is_left_to_transformers(make_model, tokenizer):
    assert unsupported(make_model()) is None
    hooked = make_model()
    handle = hooked.model.layers[1].mlp.register_forward_hook(lambda module, args, output: output * 1.5)
    assert "hook" in unsupported(hooked)
    (changed,), (plain,) = (
        generate(model, tokenizer, [[5, 6]], stop_ids=set(), max_completion_tokens=3)
        for model in (hooked, make_model())
    )
    assert changed[0].sampling_logprobs != pytest.approx(plain[0].sampling_logprobs, abs=1e-6)
    handle.remove()
    assert unsupported(hooked) is None
    other = make_model()
    other.config.rope_parameters = other.config.rope_parameters | {"rope_type": "dynamic"}
    assert "dynamic" in unsupported(other)
