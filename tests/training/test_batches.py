import numpy as np
import torch

from in2x.training.batches import micro_batches, next_token_loss, padded_micro_batches
from in2x.training.packing import Document, pack


def rows_of(*lengths, context=12):
    rng = np.random.default_rng(0)
    documents = [Document(str(n), rng.integers(5, 60, length).astype(np.int32), np.ones(length, bool))
                 for n, length in enumerate(lengths)]  # fmt: skip
    return pack(documents, context, 0)


def test_micro_batches_hold_all_rows_in_order_within_the_limit():
    rows = rows_of(12, 11, 10, 9, 8)
    parts = list(micro_batches(rows, 30))  # two rows of 12 tokens fit
    assert [len(part["input_ids"]) for part in parts] == [2, 2, 1]
    for name in ("input_ids", "position_ids", "loss_mask"):
        assert torch.equal(torch.cat([part[name] for part in parts]), torch.from_numpy(getattr(rows, name)))
    assert [len(part["input_ids"]) for part in micro_batches(rows, 1)] == [1] * 5


def gradient(model, rows, micro_batch_tokens):
    model.zero_grad()
    loss, totals = next_token_loss(int(rows.loss_mask.sum())), []
    for batch in micro_batches(rows, micro_batch_tokens):
        value, sums = loss(model, batch)
        value.backward()
        totals.append(sums["loss"])
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}, totals


def test_micro_batches_add_up_to_the_whole_batch(make_model):
    model, rows = make_model(), rows_of(12, 7, 5, 4, 9, 2)  # micro-batches of unequal numbers of tokens
    whole, [(total, count)] = gradient(model, rows, 1000)
    parts, sums = gradient(model, rows, 12)
    assert len(sums) == len(rows) > 2
    assert sum(number for _, number in sums) == count == rows.loss_mask.sum()
    torch.testing.assert_close(torch.tensor(sum(part for part, _ in sums)), torch.tensor(total))
    for name in whole:
        torch.testing.assert_close(parts[name], whole[name])


def test_loss_is_the_mean_over_trained_tokens_at_a_temperature(make_model):
    model, rows = make_model(), rows_of(9, context=9)
    batch = next(micro_batches(rows, 100))
    value, sums = next_token_loss(8, temperature=2.0)(model, batch)
    logits = model(batch["input_ids"], use_cache=False).logits[0, :-1] / 2.0
    expected = torch.nn.functional.cross_entropy(logits, batch["input_ids"][0, 1:])
    torch.testing.assert_close(value, expected)
    assert sums["loss"][1] == 8
    torch.testing.assert_close(torch.tensor(sums["loss"][0] / 8), expected.detach())


def test_padded_micro_batches_give_the_gradient_of_packed_rows(make_model):
    rng, model = np.random.default_rng(0), make_model()
    documents = [Document(str(n), rng.integers(5, 60, n).astype(np.int32), np.arange(n) >= n // 2)
                 for n in (9, 3, 12, 5, 7)]  # fmt: skip
    parts = list(padded_micro_batches(documents, 20, 0))
    assert [tuple(part["input_ids"].shape) for part in parts] == [(2, 5), (2, 9), (1, 12)]
    assert [part["loss_mask"].sum(1).tolist() for part in parts] == [[2, 3], [4, 5], [6]]
    assert parts[0]["input_ids"][0, 3:].tolist() == [0, 0]

    def gradients(batches, num_loss_tokens=20):
        model.zero_grad()
        for batch in batches:
            next_token_loss(num_loss_tokens)(model, batch)[0].backward()
        return [parameter.grad.clone() for parameter in model.parameters()]

    packed = micro_batches(pack(documents, 12, 0), 1000)
    for padded, expected in zip(gradients(parts), gradients(packed), strict=True):
        torch.testing.assert_close(padded, expected)


def test_padding_the_first_token_of_a_document_is_never_predicted():
    whole = Document("a", np.array([7, 8, 9], np.int32), np.ones(3, bool))
    [part] = padded_micro_batches([whole], 1, 0)
    assert part["loss_mask"].tolist() == [[False, True, True]]
    assert list(padded_micro_batches([], 10, 0)) == []
