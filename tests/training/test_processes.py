"""Two gloo processes, as torchrun starts them, against one."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from in2x.model.loading import load_model

WORKER = Path(__file__).with_name("worker.py")
SECONDS = 300


@pytest.fixture(scope="module")
def worker():
    specification = importlib.util.spec_from_file_location("worker", WORKER)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def one(tmp_path_factory, worker):
    folder = tmp_path_factory.mktemp("one")
    worker.run_cases(folder, worker.make_tokenizer())
    return folder


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run([*launch, WORKER, folder, str(SECONDS)], capture_output=True, text=True, timeout=SECONDS + 30)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def steps(folder, case):
    return json.loads((folder / case / "steps.json").read_text())


CASES = [
    "ddp-muon",
    "ddp-adamw",
    "fsdp-adamw",
    "fsdp-muon",
    *(["fsdp-lora"] if importlib.util.find_spec("peft") else []),
]


@pytest.mark.parametrize("case", CASES)
def test_two_processes_make_the_steps_of_one(one, two, case):
    found, expected = steps(two, case), steps(one, case)
    assert len(found) == 4 + 1
    for got, wanted in zip(found, expected, strict=True):
        assert got == pytest.approx(wanted, rel=1e-5)  # loss, gradient norm, held-out loss between the steps
    assert found[-1][0] == pytest.approx(found[-1][1], rel=1e-6)  # the best, which is the last, goes back whole


@pytest.mark.parametrize("case", CASES)
def test_two_processes_save_the_model_of_one(one, two, case):
    found, expected = (load_file(run / case / "model/model.safetensors") for run in (two, one))
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=2e-5, rtol=1e-4)
    load_model(two / case / "model")  # nothing is missing, and no process has written its share only


@pytest.mark.parametrize("case", CASES)
def test_a_run_of_two_processes_is_continued_by_one(one, two, worker, tmp_path, case):
    (tmp_path / case).mkdir()
    (tmp_path / case / "checkpoint").symlink_to(two / case / "half")
    loop = worker.make_loop(
        tmp_path / case, case, seed=0 if "lora" in case else 5
    )  # an adapter's base is no part of it
    assert (loop.step, loop.tokens) == (2, 70)
    found = worker.train(loop, worker.NUM_STEPS)
    for got, wanted in zip(found, steps(one, case)[2:4], strict=True):
        assert got == pytest.approx(wanted, rel=1e-5)


def test_the_weights_in_a_checkpoint_are_a_model_that_transformers_loads(two, worker):
    model = load_model(two / "fsdp-adamw" / "half")
    assert worker.held_out_loss(model) == pytest.approx(steps(two, "fsdp-adamw")[1][2], rel=1e-5)


# --- meetings -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def meetings(two):
    return [json.loads((two / f"meetings-{rank}.json").read_text()) for rank in range(2)]


def test_a_process_that_is_late_decides_as_the_main_one_did(meetings):
    assert [found["gathered"] for found in meetings] == [[0, 1], [0, 1]]


def test_all_get_what_the_main_process_found_by_itself(meetings):
    assert [found["told"] for found in meetings] == [[0, 1], [0, 1]]  # its rank, and a world of one


def test_an_error_of_the_main_process_is_everybodys(meetings):
    assert meetings[0]["refused"] == "no room"
    assert meetings[1]["refused"] == "the main process stopped: In2xError: no room"
    assert [found["after"] for found in meetings] == [["after", "after"]] * 2


def test_processes_that_meet_at_different_places_are_told_where(meetings):
    for found in meetings:
        lines = found["out_of_step"].splitlines()
        assert "process 0: worker.py:" in lines[1] and "process 1: worker.py:" in lines[2] and lines[1] != lines[2]


def test_who_has_left_holds_no_connection_when_the_interpreter_ends(meetings):
    assert all(found["left"] for found in meetings)


def test_a_signal_to_one_process_stops_all_of_them(two, meetings):
    assert all(found["interrupted"].startswith("stopped after step 1 of 4") for found in meetings)
    assert json.loads((two / "interrupted/checkpoint/state.json").read_text())["step"] == 1
