"""Log-probabilities and entropies with their gradients by hand, against autograd's."""

import math

import pytest
import torch

from in2x.model import softmax
from in2x.model.softmax import logprob_and_entropy, token_nats


def plain(logits_NV, targets_N):
    logprobs_NV = logits_NV.log_softmax(-1)
    return logprobs_NV.gather(1, targets_N[:, None])[:, 0], -(logprobs_NV.exp() * logprobs_NV).sum(-1)


@pytest.mark.parametrize("block", [1, 50, 10**9])
@pytest.mark.parametrize("wanted", [(1, 1), (1, 0), (0, 1)])
def test_values_and_gradients_are_autograds(monkeypatch, block, wanted):
    monkeypatch.setitem(softmax.BLOCK, "cpu", block)
    torch.manual_seed(0)
    logits_NV, targets_N = 5 * torch.randn(7, 13, dtype=torch.float64), torch.randint(13, (7,))
    weights = torch.randn(2, 7, dtype=torch.float64)
    found = []
    for measure in (plain, logprob_and_entropy):
        leaf = logits_NV.clone().requires_grad_()
        values = measure(leaf * 1.5, targets_N)
        total = sum((weight * value).sum() for weight, value, use in zip(weights, values, wanted, strict=True) if use)
        found.append((*(value.detach() for value in values), *torch.autograd.grad(total, leaf)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)


def test_by_hand():
    logprob, entropy = logprob_and_entropy(torch.tensor([[0.0, math.log(3.0)]]), torch.tensor([1]))
    assert float(logprob) == pytest.approx(math.log(0.75))
    assert float(entropy) == pytest.approx(-0.75 * math.log(0.75) - 0.25 * math.log(0.25))


def test_a_certain_token_has_no_entropy_however_large_its_logit():
    logits_NV = torch.tensor([[3e4, 0.0, -3e4]], requires_grad=True)
    logprob, entropy = logprob_and_entropy(logits_NV * 1.0, torch.tensor([0]))
    assert logprob.tolist() == [0.0] and entropy.tolist() == [0.0]
    (logprob + entropy).sum().backward()
    assert logits_NV.grad.tolist() == [[0.0, 0.0, 0.0]]


def test_a_second_backward_pass_over_the_same_logits_is_refused():
    leaf = torch.randn(2, 5, requires_grad=True)
    logprobs, _ = logprob_and_entropy(leaf * 1.0, torch.tensor([1, 2]))
    logprobs.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        logprobs.sum().backward()


@pytest.mark.parametrize("block", [1, 50, 10**9])
def test_nats_and_their_gradient_are_autograds(monkeypatch, block):
    monkeypatch.setitem(softmax.BLOCK, "cpu", block)
    torch.manual_seed(0)
    logits_NV, targets_N = 5 * torch.randn(7, 13, dtype=torch.float64), torch.randint(13, (7,))
    weights_N, found = torch.randn(7, dtype=torch.float64), []
    for measure in (lambda logits, targets: -plain(logits, targets)[0], token_nats):
        leaf = logits_NV.clone().requires_grad_()
        nats_N = measure(leaf * 1.5, targets_N)
        found.append((nats_N.detach(), *torch.autograd.grad((weights_N * nats_N).sum(), leaf)))
    torch.testing.assert_close(found[1], found[0], rtol=1e-12, atol=1e-12)


def test_nats_of_huge_logits_are_finite():
    logits_NV = torch.tensor([[3e4, 0.0, -3e4]]).repeat(2, 1)
    torch.testing.assert_close(token_nats(logits_NV, torch.tensor([0, 2])), torch.tensor([0.0, 6e4]))
