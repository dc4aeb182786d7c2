"""The client of a vLLM server against a server of this test, which samples with the model that it was told to read."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from in2x.artifacts import In2xError
from in2x.decoding.generate import generate
from in2x.generators import make_generator
from in2x.generators.vllm_server import sizes
from in2x.model.loading import load_model, load_tokenizer
from in2x.sections.rl import Generation

PROMPTS = [[5, 9, 40], [300, 7]]
OPTIONS = {"stop_ids": {3}, "max_completion_tokens": 4, "num_samples": 3, "temperature": 0.8, "seed": 5, "keys": [7, 8]}


class FakeVllm:
    """The three endpoints that the client uses; `faults` change a reply."""

    def __init__(self):
        self.read, self.bodies, self.faults, self.model = [], [], {}, None
        self.keeps_head, self.head, self.lock = False, None, threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, reply = owner.answer(self.path, body)
                content = json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *arguments):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.http.server_port}"

    def answer(self, path, body):
        if path in self.faults:
            return self.faults[path]
        if path == "/collective_rpc":
            assert body["method"] == "reload_weights"
            folder = body["kwargs"]["weights_path"]
            self.read.append(folder)
            self.model, self.tokenizer = load_model(folder), load_tokenizer(folder)
            if self.keeps_head:  # as vLLM 0.32 where it ties the head to the embedding
                if self.head is None:
                    self.head = self.model.get_output_embeddings().weight
                self.model.get_output_embeddings().weight = self.head
            return 200, {"results": [None]}
        if path == "/reset_prefix_cache":
            return 200, {"success": True}
        assert path == "/v1/completions"
        with self.lock:
            self.bodies.append(body)
            (group,) = generate(
                self.model,
                self.tokenizer,
                [body["prompt"]],
                stop_ids=set(body["stop_token_ids"]),
                num_samples=body["n"],
                temperature=body["temperature"],
                max_completion_tokens=body["max_tokens"],
                seed=(body.get("seed") or 0) % 1000,
            )
        made = [
            {"index": n, "text": "", "token_ids": c.token_ids, "logprobs": {"token_logprobs": c.sampling_logprobs}}
            for n, c in enumerate(group)
        ]
        return 200, {"choices": made[::-1]}


@pytest.fixture
def server():
    fake = FakeVllm()
    yield fake
    fake.http.shutdown()
    fake.http.server_close()


@pytest.fixture
def sampler(server, tmp_path):
    return make_generator(Generation(kind="vllm-server", endpoint=server.address), tmp_path / "weights")


def test_the_server_samples_from_the_policy_as_it_is_now(server, sampler, make_model, tokenizer, tmp_path):
    model = make_model(seed=1)
    first = sampler(model, tokenizer, PROMPTS, **OPTIONS)
    again = sampler(model, tokenizer, PROMPTS, **OPTIONS)
    assert len(server.read) == 2 and first == again  # a head of zeros, then the policy; unchanged, it is not sent again
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    changed = sampler(model, tokenizer, PROMPTS, **OPTIONS)
    assert len(server.read) == 3 and changed != first
    assert [path.name for path in (tmp_path / "weights").iterdir()] == ["weights-000002"]
    for prompt, group in zip(PROMPTS, changed, strict=True):
        for completion in group:
            logits = model(torch.tensor([prompt + completion.token_ids])).logits[0].float() / 0.8
            logprobs = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
            expected = logprobs.gather(1, torch.tensor(completion.token_ids).unsqueeze(1)).squeeze(1).tolist()
            assert completion.sampling_logprobs == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_step_of_the_optimizers_counts_as_a_change(make_model, tokenizer, tmp_path, name):
    from in2x.generators.weights import WeightsFolder
    from in2x.sections import Optimizer
    from in2x.training.optimizers import make_optimizer

    model, weights = make_model(), WeightsFolder(tmp_path)
    optimizer = make_optimizer(model, Optimizer(name=name), 1e-3)
    assert weights.write_if_changed(model, tokenizer) is not None
    model(torch.tensor([[5, 6]])).logits.sum().backward()
    assert weights.write_if_changed(model, tokenizer) is None
    optimizer.step()
    assert weights.write_if_changed(model, tokenizer) is not None


def test_requests_are_plain_sampling_with_seeds_of_their_own(server, sampler, make_model, tokenizer):
    sampler(make_model(seed=1), tokenizer, PROMPTS, **OPTIONS)
    bodies = [body for body in server.bodies if body["max_tokens"] > 1]  # the first one looks at the head
    assert sorted(body["prompt"] for body in bodies) == sorted(PROMPTS)
    assert len({body["seed"] for body in bodies}) == 2
    body = bodies[0]
    asked = {name: body[name] for name in ("temperature", "top_p", "top_k", "min_p", "n", "ignore_eos", "logprobs")}
    assert asked == {
        "temperature": 0.8,
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "n": 3,
        "ignore_eos": False,
        "logprobs": 0,
    }
    assert sizes(16, 64) == [16] and sizes(5, 4096) == [2, 2, 1] and sizes(2, 100_000) == [1, 1]


def test_without_seeds_none_are_sent(server, make_model, tokenizer, tmp_path):
    section = Generation(kind="vllm-server", endpoint=server.address, seeded=False)
    make_generator(section, tmp_path)(make_model(), tokenizer, PROMPTS, **OPTIONS)
    assert {body.get("seed") for body in server.bodies} == {None}


def test_log_probabilities_of_another_temperature_are_refused(server, sampler, make_model, tokenizer):
    model = make_model(seed=1)
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(40)
    honest = server.answer

    def raw(path, body):
        return honest(path, body | {"temperature": 3.0} if "temperature" in body else body)

    server.answer = raw
    with pytest.raises(In2xError, match="processed_logprobs"):
        sampler(model, tokenizer, PROMPTS, **OPTIONS)


def test_a_server_that_keeps_its_head_is_refused(server, sampler, make_model, tokenizer):
    server.keeps_head, server.head = True, torch.nn.Parameter(torch.randn(320, 16))
    with pytest.raises(In2xError, match="python -m in2x.generators.weights"):
        sampler(make_model(), tokenizer, PROMPTS, **OPTIONS)


def test_what_is_written_is_the_same_model_with_a_head_of_its_own(make_model, tokenizer, tmp_path):
    from in2x.generators.weights import save_untied

    model = make_model(seed=3)
    save_untied(model, tokenizer, tmp_path / "untied")
    written, ids = load_model(tmp_path / "untied"), torch.tensor([[5, 6, 7]])
    assert not written.config.tie_word_embeddings and model.config.tie_word_embeddings
    with torch.no_grad():
        torch.testing.assert_close(written(ids).logits, model(ids).logits)
        written.get_output_embeddings().weight.zero_()
        assert written.get_input_embeddings().weight.any()


@pytest.mark.parametrize(
    ("path", "fault", "words"),
    [
        ("/collective_rpc", (404, {"detail": "Not Found"}), "VLLM_SERVER_DEV_MODE"),
        ("/reset_prefix_cache", (200, {"success": False}), "another run"),
        ("/v1/completions", (404, {"detail": "no model policy"}), "no model policy"),
        ("/v1/completions", (200, {"choices": [{"text": "x"}]}), "token_ids"),
        ("/v1/completions", (200, {"choices": []}), "samples were asked for, 0 came"),
        (
            "/v1/completions",
            (200, {"choices": [{"token_ids": [4, 5], "logprobs": {"token_logprobs": [-1.0, None]}}] * 3}),
            "token_logprobs",
        ),
    ],
)
def test_what_a_server_lacks_is_said(server, sampler, make_model, tokenizer, path, fault, words):
    server.faults[path] = fault
    with pytest.raises(In2xError, match=words):
        sampler(make_model(), tokenizer, PROMPTS, **OPTIONS)


def test_settings_that_contradict_are_refused():
    with pytest.raises(ValueError, match="endpoint"):
        Generation(kind="vllm-server")
    with pytest.raises(ValueError, match="endpoint"):
        Generation(endpoint="http://localhost:8000")
    assert make_generator(Generation(), None) is generate
