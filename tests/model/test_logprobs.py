import numpy as np
import pytest
import torch
import transformers
from torch.nn.functional import cross_entropy

from in2x.model.logprobs import (
    completion_logprobs,
    cross_entropy_sum,
    hidden_states,
    selected_logits,
    token_nats,
)
from in2x.training.batches import micro_batches
from in2x.training.packing import Document, pack

WIDTHS = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 64, "pad_token_id": 0,
}  # fmt: skip
FAMILIES = {
    "Qwen3Config": {}, "LlamaConfig": {}, "MistralConfig": {"sliding_window": 4},
    "Gemma2Config": {"query_pre_attn_scalar": 8, "final_logit_softcapping": 2.0, "sliding_window": 4},
    "Gemma3TextConfig": {"query_pre_attn_scalar": 8, "sliding_window": 4},
    "GraniteConfig": {"logits_scaling": 4.0}, "CohereConfig": {"logit_scale": 0.25},
}  # fmt: skip


@pytest.fixture(params=FAMILIES)
def model(request):
    config_class = getattr(transformers, request.param, None)
    if config_class is None:
        pytest.skip(f"transformers {transformers.__version__} has no {request.param}")
    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config_class(**WIDTHS | FAMILIES[request.param])).eval()
    for parameter in model.parameters():
        parameter.data.mul_(4)  # otherwise attention hardly matters to the logits
    return model


def documents(*lengths):
    rng = np.random.default_rng(0)
    return [Document(str(n), rng.integers(5, 60, length).astype(np.int32), np.ones(length, bool))
            for n, length in enumerate(lengths)]  # fmt: skip


@torch.inference_mode()
def test_logits_of_a_packed_document_are_those_it_has_alone(model):
    originals = documents(9, 6, 5, 4, 7, 3)
    rows = pack(originals, 16, 0)
    batch = next(micro_batches(rows, 1000))
    assert len(rows) == 3 and max(map(len, rows.document_ids)) == 3
    logits, (where_row, where_position) = selected_logits(
        model, hidden_states(model, batch["input_ids"], batch["position_ids"]), batch["loss_mask"])  # fmt: skip
    for row, (ids, lengths) in enumerate(zip(rows.document_ids, rows.lengths, strict=True)):
        start = 0
        for id, length in zip(ids, lengths, strict=True):
            own = (where_row == row) & (where_position > start) & (where_position < start + length)
            tokens = torch.from_numpy(originals[int(id)].token_ids.astype(np.int64))
            alone = model(tokens[None], use_cache=False).logits[0, :-1]
            torch.testing.assert_close(logits[own], alone.float(), atol=1e-4, rtol=1e-4)
            start += length


def test_a_document_gets_no_gradient_through_its_neighbours(make_model):
    model = make_model()
    embedded = []
    model.get_input_embeddings().register_forward_hook(lambda *x: (x[2].retain_grad(), embedded.append(x[2]))[0])
    batch = next(micro_batches(pack(documents(7, 5, 4), 16, 0), 16))
    first = torch.zeros_like(batch["loss_mask"])
    first[:, 8:12] = batch["loss_mask"][:, 8:12]  # the loss of the second document, at 7..11
    cross_entropy_sum(model, batch | {"loss_mask": first}).backward()
    seen = embedded[0].grad[0].abs().sum(-1) > 0
    assert seen.nonzero().flatten().tolist() == [7, 8, 9, 10]


def test_cross_entropy_by_hand(make_model):
    model = make_model()
    batch = {"input_ids": torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]]), "position_ids": torch.arange(4).repeat(2, 1),
             "loss_mask": torch.tensor([[0, 1, 0, 1], [0, 0, 0, 1]], dtype=torch.bool)}  # fmt: skip
    logits = model(batch["input_ids"], use_cache=False).logits
    rows, positions = [0, 0, 1], [1, 3, 3]
    expected = [cross_entropy(logits[row, position - 1] / 1.5, batch["input_ids"][row, position])
                for row, position in zip(rows, positions, strict=True)]  # fmt: skip
    torch.testing.assert_close(token_nats(model, batch, 1.5), torch.stack(expected))
    torch.testing.assert_close(cross_entropy_sum(model, batch, 1.5), torch.stack(expected).sum())


def test_the_first_token_of_a_row_cannot_be_predicted(make_model):
    batch = {"input_ids": torch.tensor([[5, 6]]), "position_ids": torch.tensor([[0, 1]]),
             "loss_mask": torch.tensor([[True, True]])}  # fmt: skip
    with pytest.raises(ValueError, match="first token of a row"):
        cross_entropy_sum(make_model(), batch)


def test_completion_logprobs_and_entropies_at_a_temperature(make_model):
    model = make_model()
    input_ids = torch.tensor([[5, 6, 7, 8, 0], [9, 10, 11, 12, 13]])
    positions = torch.arange(5).repeat(2, 1)
    mask = torch.tensor([[0, 0, 1, 1, 0], [0, 1, 1, 1, 1]], dtype=torch.bool)
    logprobs, entropy = completion_logprobs(model, input_ids, positions, mask, 0.7)
    full = (model(input_ids, use_cache=False).logits / 0.7).log_softmax(-1)
    chosen = full[:, :-1].gather(2, input_ids[:, 1:, None])[..., 0]
    torch.testing.assert_close(logprobs[:, 1:], torch.where(mask[:, 1:], chosen, 0.0))
    torch.testing.assert_close(entropy[:, 1:], torch.where(mask[:, 1:], -(full.exp() * full).sum(-1)[:, :-1], 0.0))
    assert not logprobs[:, 0].any() and not entropy[:, 0].any()
    logprobs.sum().backward()
    assert model.get_input_embeddings().weight.grad.abs().sum() > 0
