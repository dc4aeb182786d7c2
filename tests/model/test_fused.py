"""Fused norms and gated layers: values to the bit, gradients to rounding, and less that is kept."""

import copy

import pytest
import torch
import transformers

from in2x.model.fused import _RmsNorm, _SiluTimes, use_fused
from in2x.model.logprobs import hidden_states

TOKENS = torch.arange(5, 29).view(2, 12)


def loud(model):
    """Random weights, those of the norms too, so large that distributions are far from flat."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.data = parameter.data * 4 if parameter.ndim > 1 else torch.rand_like(parameter) + 0.5
    return model


def kept(model) -> int:
    """Values kept for the backward pass, weights aside."""
    sizes, weights = {}, {parameter.data_ptr() for parameter in model.parameters()}

    def see(tensor):
        if tensor.data_ptr() not in weights:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(see, lambda tensor: tensor):
        last = hidden_states(model, TOKENS)
    del last
    return sum(sizes.values())


def gradients(model, value):
    weights = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).view_as(value)
    parameters = list(model.model.layers.parameters())
    found = torch.cat([x.flatten() for x in torch.autograd.grad((value * weights).sum(), parameters)])
    return found / found.abs().max()


@pytest.mark.parametrize("family", ["Qwen3", "Qwen2", "Llama", "Mistral"])
def test_values_are_the_same_and_gradients_to_rounding(family):
    config = getattr(transformers, f"{family}Config")(
        vocab_size=60, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8,
    )  # fmt: skip
    one = loud(transformers.AutoModelForCausalLM.from_config(config).eval())
    other = use_fused(copy.deepcopy(one))
    assert sum(type(module).__name__.startswith("Fused") for module in other.modules()) >= 3 * 2 + 1
    assert list(one.state_dict()) == list(other.state_dict())
    values = [hidden_states(model, TOKENS) for model in (one, other)]
    assert torch.equal(*values)
    torch.testing.assert_close(gradients(other, values[1]), gradients(one, values[0]), rtol=0, atol=1e-5)


def test_gradients_of_a_norm_and_of_a_gated_layer_are_autograds():
    torch.manual_seed(0)
    x, weight, up = (
        torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in ((3, 2, 5), (5,), (3, 2, 5))
    )
    assert torch.autograd.gradcheck(lambda x, weight: _RmsNorm.apply(x, weight, 1e-3), (x, weight))
    assert torch.autograd.gradcheck(_SiluTimes.apply, (x, up))


def test_less_is_kept(make_model):
    plain = make_model().train()
    before = kept(plain)
    assert kept(use_fused(plain)) < 0.7 * before


def test_a_last_product_that_is_more_than_a_matrix_stays_its_own(make_model):
    """With a hook, the module itself is called."""
    plain = loud(make_model())
    hooked, seen = use_fused(copy.deepcopy(plain)), []
    for layer in hooked.model.layers:
        layer.mlp.down_proj.register_forward_hook(lambda *given: seen.append(len(given)))
    values = [hidden_states(model, TOKENS) for model in (hooked, use_fused(copy.deepcopy(plain)))]
    assert len(seen) == len(hooked.model.layers)
    assert torch.equal(*values)


def test_a_frozen_last_product_gets_no_gradient(make_model):
    model = use_fused(loud(make_model()))
    frozen = [layer.mlp.down_proj.weight.requires_grad_(False) for layer in model.model.layers]
    hidden_states(model, TOKENS).square().sum().backward()
    assert all(weight.grad is None for weight in frozen)
    assert model.model.layers[0].mlp.up_proj.weight.grad.abs().max() > 0


def test_under_mixed_precision_the_values_are_the_same(make_model):
    plain = loud(make_model())
    fused = use_fused(copy.deepcopy(plain))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(hidden_states(plain, TOKENS), hidden_states(fused, TOKENS))
