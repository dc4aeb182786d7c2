import pytest
import torch
from torch import nn

from in2x.sections import Optimizer
from in2x.training.optimizers import NEWTON_SCHULZ, Muon, make_optimizer, orthogonalized


def with_singular_values(values, rows, columns, seed=0):
    generator = torch.Generator().manual_seed(seed)
    left = torch.linalg.qr(torch.randn(rows, len(values), generator=generator))[0]
    right = torch.linalg.qr(torch.randn(columns, len(values), generator=generator))[0]
    return left, left @ torch.diag(torch.tensor(values)) @ right.T, right


@pytest.mark.parametrize(("rows", "columns"), [(6, 6), (12, 6), (6, 12)])
def test_orthogonalized_keeps_directions_and_brings_singular_values_near_one(rows, columns):
    values = [1.0, 0.8, 0.5, 0.3, 0.2, 0.1]
    left, matrix, right = with_singular_values(values, rows, columns)
    found = left.T @ orthogonalized(matrix[None])[0] @ right
    x = torch.tensor(values, dtype=torch.float64) / torch.tensor(values, dtype=torch.float64).norm()
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        x = a * x + b * x**3 + c * x**5  # what the iteration does to each singular value
    torch.testing.assert_close(found, torch.diag(x).float(), atol=1e-4, rtol=1e-4)
    assert x.min() > 0.65 and x.max() < 1.25


def test_a_batch_of_matrices_is_as_each_alone_and_scale_does_not_matter():
    matrices = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(1))
    together = orthogonalized(matrices)
    for matrix, found in zip(matrices, together, strict=True):
        torch.testing.assert_close(orthogonalized(1000 * matrix[None])[0], found, atol=1e-5, rtol=1e-4)


def test_muon_step_by_hand():
    generator = torch.Generator().manual_seed(2)
    weight = nn.Parameter(torch.randn(4, 9, generator=generator))
    optimizer = Muon([{"params": [weight], "weight_decay": 0.1, "use_muon": True}], 0.02, (0.9, 0.95), 0.95)
    expected, momentum = weight.detach().clone(), torch.zeros(4, 9)
    for _ in range(3):
        weight.grad = torch.randn(4, 9, generator=generator)
        momentum = 0.95 * momentum + 0.05 * weight.grad
        direction = orthogonalized((0.05 * weight.grad + 0.95 * momentum)[None])[0]  # Nesterov
        expected = expected * (1 - 0.02 * 0.1) - 0.02 * 0.2 * 9**0.5 * direction
        optimizer.step()
    torch.testing.assert_close(weight.detach(), expected)


@pytest.mark.parametrize(("rank", "most", "cosine"), [(24, 0.04, 0.999), (4, 0.2, 0.98)])
@pytest.mark.parametrize("tall", [False, True])
def test_newton_schulz_in_bfloat16_finds_nearly_the_same_directions(rank, most, cosine, tall):
    """Every product is rounded to 8 bits, which hides directions that are much weaker than others."""
    generator = torch.Generator().manual_seed(0)
    strong = torch.randn(24, rank, generator=generator) @ torch.randn(rank, 40, generator=generator)
    noise = torch.randn(24, 40, generator=generator)
    matrix = noise if rank == 24 else strong + 0.05 * noise
    matrix = (matrix.T if tall else matrix)[None]
    exact, half = orthogonalized(matrix), orthogonalized(matrix, torch.bfloat16)
    assert half.dtype == torch.float32
    assert 1e-3 < ((half - exact).norm() / exact.norm()).item() < most  # nearly 0: it would not have been in bfloat16
    assert torch.cosine_similarity(half.flatten(), exact.flatten(), 0).item() > cosine


def test_muon_in_bfloat16_keeps_weights_and_momentum_in_float32():
    gradient = torch.randn(24, 40, generator=torch.Generator().manual_seed(5))
    steps = {}
    for dtype in (torch.float32, torch.bfloat16):
        weight = nn.Parameter(torch.zeros(24, 40))
        optimizer = Muon([{"params": [weight], "weight_decay": 0.0, "use_muon": True}], 1.0, (0.9, 0.95), 0.95, dtype)
        weight.grad = gradient.clone()
        optimizer.step()
        steps[dtype] = weight.detach()
        assert weight.dtype == optimizer.state[weight]["momentum"].dtype == torch.float32
        assert torch.equal(optimizer.state[weight]["momentum"], torch.zeros(24, 40).lerp(gradient, 1 - 0.95))
    difference = steps[torch.bfloat16] - steps[torch.float32]
    assert 1e-3 < (difference.norm() / steps[torch.float32].norm()).item() < 0.04


def test_muon_updates_have_the_size_of_adamws():
    weight = nn.Parameter(torch.zeros(32, 64))
    weight.grad = torch.randn(32, 64, generator=torch.Generator().manual_seed(3))
    Muon([{"params": [weight], "weight_decay": 0.0, "use_muon": True}], 1.0, (0.9, 0.95), 0.95).step()
    assert weight.detach().square().mean().sqrt().item() == pytest.approx(0.2, rel=0.15)  # root mean square


def test_adamw_part_is_torchs_adamw():
    generator = torch.Generator().manual_seed(4)
    ours, theirs = (nn.Parameter(torch.ones(5)) for _ in range(2))
    optimizers = [
        Muon([{"params": [ours], "weight_decay": 0.1}], 0.01, (0.9, 0.95), 0.95),
        torch.optim.AdamW([theirs], lr=0.01, betas=(0.9, 0.95), eps=1e-10, weight_decay=0.1),  # Muon's epsilon
    ]
    for _ in range(4):
        ours.grad = torch.randn(5, generator=generator)
        theirs.grad = ours.grad.clone()
        for optimizer in optimizers:
            optimizer.step()
        torch.testing.assert_close(ours, theirs)


def test_adamw_first_step_by_hand():
    weight = nn.Parameter(torch.tensor([2.0]))
    weight.grad = torch.tensor([0.5])
    Muon([{"params": [weight], "weight_decay": 0.1}], 0.01, (0.9, 0.95), 0.95).step()
    assert weight.item() == pytest.approx(2.0 * (1 - 0.001) - 0.01)  # corrected for bias, the first update is the sign


def groups_by_name(model, optimizer):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [({names[id(x)] for x in group["params"]}, group["weight_decay"], group.get("use_muon", False))
            for group in optimizer.param_groups]  # fmt: skip


def test_matrices_go_to_muon_and_vectors_are_not_decayed(make_model):
    model = make_model()
    every = {name for name, _ in model.named_parameters()}
    norms = {name for name in every if "norm" in name}
    table = {"model.embed_tokens.weight"}
    muon = make_optimizer(model, Optimizer(name="muon", weight_decay=0.1), 0.01)
    rest = [(table, 0.1, False), (norms, 0.0, False)]
    assert groups_by_name(model, muon) == [(every - norms - table, 0.1, True), *rest]
    adamw = make_optimizer(model, Optimizer(name="adamw", weight_decay=0.1), 0.01)
    assert isinstance(adamw, torch.optim.AdamW)
    assert groups_by_name(model, adamw) == [(every - norms - table, 0.1, False), *rest]


def test_frozen_parameters_are_left_alone(make_model):
    model = make_model()
    model.get_input_embeddings().weight.requires_grad_(False)
    groups = groups_by_name(model, make_optimizer(model, Optimizer(name="muon"), 0.01))
    assert not any("model.embed_tokens.weight" in names for names, _, _ in groups)
