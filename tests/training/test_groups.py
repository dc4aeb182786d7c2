import numpy as np
import polars as pl
import pytest
import torch

from in2x.training.batches import next_token_loss
from in2x.training.groups import Groups, batches_with_groups, grouped_loss, number_groups, sums_by_name
from in2x.training.packing import Document, pack


def frame(*rows):
    return pl.LazyFrame(rows, schema=["source", "language"], orient="row")


def test_groups_are_numbered_and_named():
    frames = {
        "en": frame(("web", "en"), ("news", "en"), ("web", "en")),
        "pairs": frame(("web", "en-ja"), ("web", "ja-en")),
    }
    numbers, names = number_groups(frames)
    assert numbers == {
        "en": {("web", "en"): 0, ("news", "en"): 1},
        "pairs": {("web", "en-ja"): 2, ("web", "ja-en"): 3},
    }
    assert list(Groups(frames["en"].collect(), numbers["en"])) == [0, 1, 0]
    assert names == [
        ("en", "source/web", "language/en"), ("en", "source/news", "language/en"),
        ("pairs", "source/web", "language/en-ja"), ("pairs", "source/web", "language/ja-en"),
    ]  # fmt: skip
    _, names = number_groups({"en": frame(("web", "en")), "ja": frame(("web", "ja"))})
    assert names == [("en", "language/en"), ("ja", "language/ja")]  # one source says nothing


def test_sums_by_name_by_hand():
    names = [("a", "x"), ("b", "x"), ("c", "y")]
    sums = sums_by_name(torch.tensor([1.0, 2.0, 4.0]), torch.tensor([0, 1, 1], dtype=torch.int16), names)
    assert sums == {"loss/a": (1.0, 1), "loss/x": (7.0, 3), "loss/b": (6.0, 2)}


def test_a_micro_batch_has_the_groups_of_its_rows_and_the_loss_is_that_of_next_tokens(make_model):
    rng, model = np.random.default_rng(0), make_model()
    lengths, groups = (12, 7, 5, 9), (0, 1, 2, 1)
    documents = [
        Document(str(n), rng.integers(5, 60, length).astype(np.int32), np.ones(length, bool), group)
        for n, (length, group) in enumerate(zip(lengths, groups, strict=True))
    ]
    rows = pack(documents, 12, 0)
    names = [("en",), ("ja", "both"), ("pairs", "both")]
    loss, plain = grouped_loss(29, names), next_token_loss(29)
    totals: dict[str, float] = {}
    for batch in batches_with_groups(rows, 24):
        value, sums = loss(model, batch)
        torch.testing.assert_close(value, plain(model, batch)[0], rtol=1e-6, atol=0)
        for name, (total, _) in sums.items():
            totals[name] = totals.get(name, 0.0) + total
    expected: dict[str, float] = {"loss": 0.0}
    for document in documents:
        ids = torch.from_numpy(document.token_ids.astype(np.int64))
        logits = model(ids[None], use_cache=False).logits[0, :-1]
        nats = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum").item()
        for name in ("loss", *(f"loss/{name}" for name in names[document.group])):
            expected[name] = expected.get(name, 0.0) + nats
    assert totals == pytest.approx(expected, rel=1e-5)


def test_reporting_by_group_changes_no_gradient(make_model):
    model = make_model()
    ids = np.arange(5, 25, dtype=np.int32)
    [batch] = batches_with_groups(pack([Document("a", ids, np.ones(20, bool))], 20, 0), 100)
    found = []
    for loss in (grouped_loss(19, [("en",)]), next_token_loss(19)):
        model.zero_grad()
        loss(model, batch)[0].backward()
        found.append([parameter.grad.clone() for parameter in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))
