import pytest
import torch

from in2x.training.neftune import document_lengths, noisy

POSITIONS = torch.tensor([[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]])


def test_lengths_are_those_of_each_document():
    assert document_lengths(POSITIONS).tolist() == [[3, 3, 3, 2, 2, 1], [6] * 6]


def embedded(model, batch):
    return model.get_input_embeddings()(batch["input_ids"])


def batch():
    return {"input_ids": torch.arange(5, 17).reshape(2, 6), "position_ids": POSITIONS}


def test_noise_is_uniform_within_its_bound_and_in_training_alone(make_model):
    model = make_model(hidden_size=16)
    plain = embedded(model, batch())
    with noisy(model, 5.0) as with_noise:
        loss = with_noise(embedded)
        assert torch.equal(loss(model.eval(), batch()), plain)
        model.train()
        torch.manual_seed(0)
        noise = torch.stack([loss(model, batch()) - plain for _ in range(400)])
        assert torch.equal(embedded(model, batch()), plain)  # another loss, such as one that measures
    bounds = 5.0 / (document_lengths(POSITIONS) * 16).sqrt()
    ratio = noise / bounds[..., None]
    assert float(ratio.abs().max()) <= 1 + 1e-5
    assert float(ratio.std()) == pytest.approx(3**-0.5, rel=0.02)  # of U(-1, 1)
    assert float(ratio.mean()) == pytest.approx(0, abs=0.01)
    per_token = ratio.std(dim=(0, 3))
    assert ((per_token - 3**-0.5).abs() < 0.03).all()
    assert torch.equal(loss(model, batch()), plain)  # the hook is gone


def test_without_alpha_the_loss_is_the_same_object(make_model):
    with noisy(make_model(), None) as with_noise:
        assert with_noise(embedded) is embedded


def test_the_same_random_state_gives_the_same_noise(make_model):
    model = make_model().train()
    found = []
    with noisy(model, 5.0) as with_noise:
        for _ in range(2):
            torch.manual_seed(3)
            found.append(with_noise(embedded)(model, batch()))
    assert torch.equal(*found)
