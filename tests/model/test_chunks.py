"""Chunks give what the whole gives, for every head, and never compute more logits at once than the budget."""

import pytest
import torch
import transformers
from torch import nn

from in2x.model import chunks
from in2x.model.chunks import by_chunks, sum_by_chunks
from in2x.model.logprobs import completion_logprobs, cross_entropy_sum, summed_nats, token_nats

V, D, N = 11, 6, 10
WIDTHS = {
    "vocab_size": 50, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "Qwen3Config": {}, "LlamaConfig": {"tie_word_embeddings": True},
    "Gemma2Config": {"query_pre_attn_scalar": 8, "final_logit_softcapping": 2.0, "sliding_window": 4},
    "GraniteConfig": {"logits_scaling": 4.0}, "CohereConfig": {"logit_scale": 0.25},
}  # fmt: skip


class LowRank(nn.Module):
    """A head beside which something is trained, as LoRA does it."""

    def __init__(self, bias: bool):
        super().__init__()
        self.base, self.out_features = nn.Linear(D, V, bias=bias).requires_grad_(False), V
        self.down, self.up = nn.Linear(D, 2, bias=False), nn.Linear(2, V, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def hooked(bias):
    head = nn.Linear(D, V, bias=bias)
    head.register_forward_hook(lambda module, inputs, output: 2 * output)
    return head


def frozen(bias):
    return nn.Linear(D, V, bias=bias).requires_grad_(False)


def linear(bias):
    return nn.Linear(D, V, bias=bias)


def total(logits_NV, targets_N):
    return nn.functional.cross_entropy(2 * torch.tanh(logits_NV / 1.7), targets_N, reduction="none")


def by_row(logits_NV, targets_N):
    logprobs_NV = torch.log_softmax(logits_NV / 0.7, -1)
    return logprobs_NV.gather(1, targets_N[:, None])[:, 0], -(logprobs_NV.exp() * logprobs_NV).sum(-1)


def one_by_row(logits_NV, targets_N):
    return by_row(logits_NV, targets_N)[0]


@pytest.fixture(autouse=True)
def three_rows(monkeypatch):
    """Ten rows are three chunks of three, and one; a sum's last one is filled up to four."""
    monkeypatch.setattr(chunks, "LOGITS_BUDGET", 3 * V + 1)
    monkeypatch.setattr(chunks, "WHOLE", 1)


def chunked(head, hidden_ND, targets_N, measure, summed):
    if not summed:
        return by_chunks(head, hidden_ND, targets_N, measure)
    value, values_N = sum_by_chunks(head, hidden_ND, targets_N, measure)
    assert not values_N.requires_grad
    torch.testing.assert_close(values_N.sum(), value.detach())
    return value


def run(head, hidden_ND, targets_N, measure, summed):
    """Values and gradients; each row's own weight in the loss."""
    hidden_ND = hidden_ND.clone().requires_grad_()
    head.zero_grad()
    values = chunked(head, hidden_ND, targets_N, measure, summed)
    weighted = [value * torch.arange(1.0, 1 + value.numel()).to(value) / 3 for value in
                (values if isinstance(values, tuple) else (values,))]  # fmt: skip
    sum(value.sum() for value in weighted).backward()
    return values, hidden_ND.grad, {name: x.grad for name, x in head.named_parameters()}


@pytest.mark.parametrize(("measure", "summed"), [(total, True), (by_row, False), (one_by_row, False)])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("make_head", [linear, frozen, hooked, LowRank])
def test_values_and_gradients_are_those_of_the_whole(monkeypatch, make_head, bias, measure, summed):
    torch.manual_seed(0)
    head, hidden_ND, targets_N = make_head(bias).double(), torch.randn(N, D).double(), torch.randint(V, (N,))
    seen = []
    handle = head.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    if make_head in (linear, frozen):
        handle.remove()  # with a hook it would be another case
    found = run(head, hidden_ND, targets_N, measure, summed)
    assert max(seen, default=3) == 3
    monkeypatch.setattr(chunks, "LOGITS_BUDGET", 10**9)
    torch.testing.assert_close(found, run(head, hidden_ND, targets_N, measure, summed), rtol=1e-12, atol=1e-12)
    assert found[1].abs().max() > 1e-3


@pytest.mark.parametrize(("measure", "summed"), [(total, True), (by_row, False)])
def test_gradcheck(measure, summed):
    torch.manual_seed(0)
    targets_N = torch.randint(V, (N,))

    def function(hidden_ND, weight_VD, bias_V):
        head = nn.Linear(D, V)
        del head.weight, head.bias
        head.weight, head.bias = weight_VD, bias_V
        return chunked(head, hidden_ND, targets_N, measure, summed)

    inputs = [torch.randn(size, dtype=torch.float64, requires_grad=True) for size in ((N, D), (V, D), (V,))]
    assert torch.autograd.gradcheck(function, inputs)


@pytest.mark.parametrize(("measure", "summed"), [(total, True), (by_row, False)])
def test_no_more_logits_at_once_than_the_budget(measure, summed):
    seen = []

    def watched(logits_NV, targets_N):
        seen.append(logits_NV.numel())
        return measure(logits_NV, targets_N)

    run(linear(True), torch.randn(N, D), torch.randint(V, (N,)), watched, summed)
    assert seen == ([33, 33, 33, 11] if summed else [33, 33, 33, 11] * 2)
    with torch.inference_mode():
        seen.clear()
        chunked(linear(True), torch.randn(N, D), torch.randint(V, (N,)), watched, summed)
    assert seen == [33, 33, 33, 11]


@pytest.mark.parametrize("make_head", [linear, hooked, LowRank])
def test_blocks_within_the_budget(monkeypatch, make_head):
    """Values by row are made block by block, each once; a sum is not."""
    torch.manual_seed(0)
    monkeypatch.setattr(chunks, "LOGITS_BUDGET", 10**9)
    head, hidden_ND, targets_N = make_head(True).double(), torch.randn(N, D).double(), torch.randint(V, (N,))
    expected = run(head, hidden_ND, targets_N, by_row, False)
    monkeypatch.setattr(chunks, "BLOCK", {"cpu": 4 * V + 1})
    seen = []

    def watched(logits_NV, targets_N):
        seen.append(len(logits_NV))
        return by_row(logits_NV, targets_N)

    torch.testing.assert_close(run(head, hidden_ND, targets_N, watched, False), expected, rtol=1e-12, atol=1e-12)
    assert seen == [4, 4, 2]
    run(head, hidden_ND, targets_N, lambda *given: seen.append(len(given[0])) or total(*given), True)
    assert seen == [4, 4, 2, 10]


@pytest.mark.parametrize(("logits", "rows"), [(6144 * 170, 128), (6144 * 63, 63), (6143, 1)])
def test_rows_of_a_block(monkeypatch, logits, rows):
    """A multiple of 64 where that many are allowed, and never none."""
    monkeypatch.setattr(chunks, "BLOCK", {"cpu": logits})
    monkeypatch.setattr(chunks, "WHOLE", 64)
    assert chunks._block_rows(nn.Linear(2, 6144), torch.zeros(1000, 2)) == rows


def test_one_row_beyond_the_budget_is_a_chunk(monkeypatch):
    monkeypatch.setattr(chunks, "LOGITS_BUDGET", 1)
    head, hidden_ND, targets_N = linear(False), torch.randn(N, D), torch.randint(V, (N,))
    expected = total(head(hidden_ND), targets_N)
    value, values_N = sum_by_chunks(head, hidden_ND, targets_N, total)
    torch.testing.assert_close(values_N, expected.detach())
    torch.testing.assert_close(value, expected.sum())


def test_the_last_chunk_of_a_sum_is_filled_and_what_fills_it_counts_nowhere(monkeypatch):
    monkeypatch.setattr(chunks, "LOGITS_BUDGET", 10**9)
    monkeypatch.setattr(chunks, "SUMMED_ROWS", 8)
    torch.manual_seed(0)
    head, hidden_ND, targets_N = linear(True).double(), torch.randn(N, D).double(), torch.randint(V, (N,))
    seen = []

    def watched(logits_NV, targets_N):
        seen.append(len(logits_NV))
        return total(logits_NV, targets_N)

    expected = run(head, hidden_ND, targets_N, watched, True)
    monkeypatch.setattr(chunks, "WHOLE", 4)
    torch.testing.assert_close(run(head, hidden_ND, targets_N, watched, True), expected, rtol=1e-12, atol=1e-12)
    assert seen == [8, 2, 8, 4]


def test_a_sum_over_no_rows_is_zero():
    value, values_N = sum_by_chunks(linear(True), torch.randn(0, D, requires_grad=True), torch.zeros(0).long(), total)
    value.backward()
    assert float(value.detach()) == 0 and values_N.shape == (0,)


@pytest.mark.parametrize(("measure", "summed"), [(total, True), (by_row, False)])
def test_mixed_precision(monkeypatch, measure, summed):
    """The same rounding as a linear layer's; a sum over chunks is rounded once a chunk."""
    torch.manual_seed(0)
    head, hidden_ND, targets_N = linear(True), torch.randn(N, D), torch.randint(V, (N,))

    def in_float32(logits_NV, targets_N):
        assert logits_NV.dtype == torch.bfloat16
        return measure(logits_NV.float(), targets_N)

    def inside():
        with torch.autocast("cpu", torch.bfloat16):
            hidden = hidden_ND.clone().requires_grad_()
            values = chunked(head, hidden, targets_N, in_float32, summed)
        head.zero_grad()
        (values if summed else (values[0] + values[1]).sum()).backward()  # outside autocast, as the loop does it
        return values, hidden.grad, [x.grad for x in head.parameters()]

    found = inside()
    monkeypatch.setattr(chunks, "LOGITS_BUDGET", 10**9)
    expected = inside()
    torch.testing.assert_close(found[0], expected[0])
    torch.testing.assert_close(found[1:], expected[1:], rtol=2e-2, atol=2e-2)
    assert found[2][0].dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_of_a_model(monkeypatch, family):
    torch.manual_seed(0)
    config = getattr(transformers, family)(**WIDTHS | FAMILIES[family])
    model = transformers.AutoModelForCausalLM.from_config(config).eval()
    ids_BT, mask_BT = torch.randint(5, 50, (3, 9)), torch.rand(3, 9) < 0.7
    mask_BT[:, 0] = False
    batch = {"input_ids": ids_BT, "position_ids": torch.arange(9).repeat(3, 1), "loss_mask": mask_BT}

    def losses():
        logprobs_BT, entropy_BT = completion_logprobs(model, ids_BT, batch["position_ids"], mask_BT, 0.7)
        value, nats_N = summed_nats(model, batch, 1.5)
        torch.testing.assert_close(token_nats(model, batch, 1.5).detach(), nats_N)
        torch.testing.assert_close(cross_entropy_sum(model, batch, 1.5), value)
        parts = value, token_nats(model, batch), logprobs_BT, entropy_BT
        model.zero_grad()
        (parts[0] + parts[1].square().sum() + (logprobs_BT * 2 + 0.3 * entropy_BT).exp().sum()).backward()
        return parts, [parameter.grad.clone() for parameter in model.parameters()]

    monkeypatch.setattr(chunks, "LOGITS_BUDGET", 4 * 50)
    found = losses()
    monkeypatch.setattr(chunks, "LOGITS_BUDGET", 10**9)
    torch.testing.assert_close(found, losses(), rtol=1e-5, atol=1e-6)
