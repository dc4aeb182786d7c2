"""Linear layers through oneDNN: torch's values and gradients, and torch's own path wherever they don't apply."""

import copy

import pytest
import torch
from torch import nn

from in2x.model import onednn
from in2x.model.onednn import OneDnnLinear, batched_product, use_onednn

pytestmark = pytest.mark.skipif(not onednn.AVAILABLE, reason="this torch has no oneDNN")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(7, 24), (2, 5, 24), (1, 24), (100, 24)])
@pytest.mark.parametrize("outputs", [40, 9])
def test_values_and_gradients_are_torchs(shape, bias, outputs):
    torch.manual_seed(0)
    plain = nn.Linear(24, outputs, bias=bias)
    ours = use_onednn(nn.Sequential(copy.deepcopy(plain)))[0]
    assert type(ours) is OneDnnLinear
    x, y = torch.randn(shape, requires_grad=True), torch.randn(shape, requires_grad=True)
    y.data.copy_(x.data)
    weights = torch.randn(*shape[:-1], outputs)
    (plain(x) * weights).sum().backward()
    (ours(y) * weights).sum().backward()
    torch.testing.assert_close(ours(y), plain(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(y.grad, x.grad, atol=1e-5, rtol=1e-5)
    for own, theirs in zip(ours.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(own.grad, theirs.grad, atol=1e-5, rtol=1e-5)
        assert own.grad.is_contiguous()


def test_frozen_weights_pass_the_gradient_on_and_get_none():
    layer = use_onednn(nn.Sequential(nn.Linear(8, 3))).requires_grad_(False)
    x = torch.randn(4, 8, requires_grad=True)
    layer(x).sum().backward()
    torch.testing.assert_close(x.grad, layer[0].weight.sum(0).expand(4, 8))
    assert layer[0].weight.grad is None


def test_the_op_is_used_where_it_applies_and_nowhere_else(monkeypatch):
    calls = []
    product = onednn._product
    monkeypatch.setattr(onednn, "_product", lambda *args: calls.append(1) or product(*args))
    layer = use_onednn(nn.Sequential(nn.Linear(8, 3)))
    layer(torch.randn(2, 8))
    assert len(calls) == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(torch.randn(2, 8)).dtype == torch.bfloat16
    layer(torch.randn(0, 8))
    layer.double()(torch.randn(2, 8).double())
    assert len(calls) == 1


def test_subclasses_are_left_alone_and_copies_are_whole():
    class Mine(nn.Linear):
        pass

    model = use_onednn(nn.Sequential(Mine(2, 2), nn.Linear(2, 2)))
    assert [type(module) for module in model] == [Mine, OneDnnLinear]
    again = copy.deepcopy(model)
    again[1].weight.data.zero_()
    assert model[1].weight.abs().sum() > 0
    assert list(model.state_dict()) == ["0.weight", "0.bias", "1.weight", "1.bias"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_batch_of_products_is_each_pair_multiplied(dtype):
    a_BNI, b_BOI = (torch.randn(3, size, 5, generator=torch.Generator().manual_seed(size)) for size in (4, 7))
    expected = torch.einsum("bni,boi->bno", a_BNI.double(), b_BOI.double())
    found = batched_product(a_BNI.to(dtype), b_BOI.to(dtype))
    assert found.dtype == dtype
    tolerance = {torch.float32: 1e-5, torch.float64: 1e-6, torch.bfloat16: 5e-2}[dtype]
    torch.testing.assert_close(found.double(), expected, atol=tolerance, rtol=tolerance)
    transposed = b_BOI.mT.contiguous().mT.to(dtype)  # Newton-Schulz hands views over
    torch.testing.assert_close(batched_product(a_BNI.to(dtype), transposed), found)


def test_only_float32_products_of_a_batch_are_onednns(monkeypatch):
    calls = []
    product = onednn._product
    monkeypatch.setattr(onednn, "_product", lambda *args: calls.append(1) or product(*args))
    pair = torch.randn(2, 3, 4)
    batched_product(pair, pair)
    assert len(calls) == 2
    for other in (pair.double(), pair.bfloat16(), pair[:, :0]):
        batched_product(other, other)
    monkeypatch.setattr(onednn, "AVAILABLE", False)
    torch.testing.assert_close(batched_product(pair, pair), pair @ pair.mT)
    assert len(calls) == 2
