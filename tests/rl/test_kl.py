"""Expectations taken exactly, over a distribution of three outcomes."""

import math

import pytest
import torch

from in2x.rl.kl import KL_ESTIMATORS, k1, k2, k3

LOGITS = torch.tensor([0.3, -0.5, 1.1], dtype=torch.float64)
LOG_Q = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64).log()


def expectation_and_gradient(estimator):
    """Sum over outcomes of p.detach() * estimate: what sampling from p converges to."""
    logits = LOGITS.clone().requires_grad_()
    log_p = logits.log_softmax(0)
    value = (log_p.exp().detach() * estimator(log_p - LOG_Q)).sum()
    return value.detach(), torch.autograd.grad(value, logits)[0]


def kl_gradient(forward):
    logits = LOGITS.clone().requires_grad_()
    log_p = logits.log_softmax(0)
    value = (LOG_Q.exp() * (LOG_Q - log_p)).sum() if forward else (log_p.exp() * (log_p - LOG_Q)).sum()
    return torch.autograd.grad(value, logits)[0]


def test_hand_computed():
    log_ratio = torch.tensor([math.log(2.0)], dtype=torch.float64)
    assert k1(log_ratio).item() == pytest.approx(0.6931471805599453)
    assert k2(log_ratio).item() == pytest.approx(0.6931471805599453**2 / 2)
    assert k3(log_ratio).item() == pytest.approx(0.5 - 1 + 0.6931471805599453)


def test_k1_and_k3_are_unbiased():
    log_p = LOGITS.log_softmax(0)
    exact = (log_p.exp() * (log_p - LOG_Q)).sum()
    torch.testing.assert_close(expectation_and_gradient(k1)[0], exact)
    torch.testing.assert_close(expectation_and_gradient(k3)[0], exact)


def test_k1_has_no_gradient_on_average():
    torch.testing.assert_close(expectation_and_gradient(k1)[1], torch.zeros(3, dtype=torch.float64))


def test_k2_has_the_gradient_of_kl_p_q():
    torch.testing.assert_close(expectation_and_gradient(k2)[1], kl_gradient(forward=False))


def test_k3_has_the_gradient_of_kl_q_p():
    torch.testing.assert_close(expectation_and_gradient(k3)[1], kl_gradient(forward=True))


@pytest.mark.parametrize("name", KL_ESTIMATORS)
def test_zero_where_the_policies_agree(name):
    assert KL_ESTIMATORS[name](torch.zeros(2)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("name", KL_ESTIMATORS)
@pytest.mark.parametrize("far", [-1e4, -100.0, 100.0, 1e4])
def test_far_policies_give_finite_estimates_and_gradients(name, far):
    log_ratio = torch.tensor([far], requires_grad=True)
    estimate = KL_ESTIMATORS[name](log_ratio)
    (gradient,) = torch.autograd.grad(estimate.sum(), log_ratio)
    assert estimate.isfinite().all() and gradient.isfinite().all()


def test_k3_pulls_back_a_policy_that_has_gone_far_from_its_reference():
    log_ratio = torch.tensor([50.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(k3(log_ratio).sum(), log_ratio)
    assert gradient.item() == pytest.approx(1.0)
