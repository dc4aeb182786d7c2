import pytest
import torch

from in2x.sections import Training
from in2x.training import throughput
from in2x.training.throughput import Throughput, flops_per_token, measured_peak, memory_bytes

CPU = torch.device("cpu")


def test_operations_of_a_token_by_hand(make_model):
    model = make_model()  # two layers, width 16, two heads of 8, head tied to the embedding of 320 pieces
    attention = 16 * 16 + 2 * 16 * 8 + 16 * 16 + 2 * 8
    layer = attention + 3 * 16 * 32 + 2 * 16
    total = len(model.get_input_embeddings().weight) * 16 + 2 * layer + 16
    assert flops_per_token(model, 10) == 6 * total + 12 * 2 * 16 * 10
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())
    assert flops_per_token(model, 10) == 6 * total + 12 * 2 * 16 * 10  # now the embedding is a look-up alone


def test_share_of_the_peak_and_time_left(make_model, monkeypatch):
    model = make_model()
    clock = iter([100.0, 100.5])
    monkeypatch.setattr(throughput.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(throughput.time, "monotonic", lambda: 50.0)
    found = Throughput(model, Training(peak_tflops=0.001), CPU, num_devices=2)
    found.begin()
    found.end(1000, 8.0)
    monkeypatch.setattr(throughput.time, "monotonic", lambda: 54.0)
    measures = found.measures(steps_left=5)
    assert measures["mfu"] == pytest.approx(1000 * flops_per_token(model, 8.0) / 0.5 / 2e9)
    assert measures["seconds_left"] == pytest.approx(20.0)


def test_without_a_peak_no_share_is_told(make_model):
    assert set(Throughput(make_model(), Training(), CPU, 1).measures(3)) == {"seconds_left", "memory_bytes"}


def test_memory_is_what_the_process_holds():
    before = memory_bytes(CPU)
    held = torch.ones(40_000_000)
    assert memory_bytes(CPU) - before == pytest.approx(held.nbytes, rel=0.1)


def test_the_measured_peak_is_that_of_a_processor():
    assert 1e8 < measured_peak("cpu", "float32", seconds=0.05) < 1e15
