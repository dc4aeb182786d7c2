"""Samples of a teacher over HTTP."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from in2x.generators.teacher import teacher_samples
from in2x.judging.transport import Server, endpoint_url


@pytest.fixture
def teacher():
    """Answers with the seed and the prompt, and not at all where the prompt is "silent"."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies.append(body)
            prompt = body["messages"][0]["content"]
            text = "" if prompt == "silent" else f"{body['seed']}: {prompt}"
            reply = {"model": "t", "choices": [{"message": {"content": text}, "finish_reason": "stop"}]}
            content = json.dumps(reply).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield Server(endpoint_url(f"http://127.0.0.1:{http.server_port}")), bodies
    http.shutdown()
    http.server_close()


def test_samples_stay_with_their_prompt_and_have_seeds_of_their_own(teacher):
    server, bodies = teacher
    options = {"num_samples": 2, "temperature": 0.7, "max_completion_tokens": 9, "seed": 10}
    found = teacher_samples(server, "t", ["a", "silent", "b"], **options)
    assert found == [["10: a", "11: a"], [None, None], ["10: b", "11: b"]]
    assert {(body["temperature"], body["max_tokens"]) for body in bodies} == {(0.7, 9)}
    assert teacher_samples(server, "t", ["a", "b"], **options | {"num_samples": 0}) == [[], []]
