"""A judge's server: real HTTP on this machine, with a model that the test writes."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pytest

from in2x.judging.cache import AnswerCache
from in2x.judging.client import JudgeClient
from in2x.judging.parsing import answer_id
from in2x.judging.transport import Server, endpoint_url


class JudgeServer(ThreadingHTTPServer):
    """Answers with `reply(body, number)`: the text of an answer, or (status, headers, body) as they are sent."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, reply):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply, self.bodies, self.headers = reply, [], []
        self.in_flight = self.max_in_flight = 0
        self.lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request, client_address):
        """A client that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with server.lock:
            server.bodies.append(body)
            server.headers.append({"path": self.path} | dict(self.headers))
            number = len(server.bodies)
            server.in_flight += 1
            server.max_in_flight = max(server.max_in_flight, server.in_flight)
        try:
            reply = server.reply(body, number)
        finally:
            with server.lock:
                server.in_flight -= 1
        status, headers, content = (200, {}, completion(reply)) if isinstance(reply, str) else reply
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        """Tests are quiet."""


def completion(text, **changes) -> bytes:
    reply = {
        "model": "judge-0905",
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 300, "completion_tokens": 20},
    }
    return json.dumps(reply | changes).encode()


def read_request(body) -> SimpleNamespace:
    """What a request holds: nonce, id to answer with, data; and `outside`: all else, without the nonce."""
    system, user = (message["content"] for message in body["messages"])
    nonce = re.search(r"<data-([0-9a-f]{16})>", system)[1]
    before, data, after = re.fullmatch(rf"(?s)(.*?)<data-{nonce}>\n(.*)\n</data-{nonce}>\n(.*)", user).groups()
    outside = [system, before, after]
    return SimpleNamespace(
        nonce=nonce,
        id=answer_id(nonce),
        data=json.loads(data),
        encoded=data,
        outside="\n".join(outside).replace(nonce, "NONCE").replace(answer_id(nonce), "ID"),
    )


@pytest.fixture
def request_of():
    return read_request


@pytest.fixture
def completion_of():
    return completion


@pytest.fixture
def serve():
    """Start a server with a reply function; it ends with the test."""
    started = []

    def start(reply) -> JudgeServer:
        server = JudgeServer(reply)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


@pytest.fixture
def make_client(serve, tmp_path):
    """A client of a new server, with a cache in the test's folder; pauses are short."""

    def make(reply, *, concurrency=4, cache=True, parameters=None, **server_options) -> JudgeClient:
        options = {"timeout_seconds": 30, "max_retries": 2, "backoff_seconds": 0.001} | server_options
        server = serve(reply)
        client = JudgeClient(
            Server(endpoint_url(server.url), **options),
            "judge",
            AnswerCache(tmp_path / "answers.jsonl") if cache else None,
            concurrency,
            parameters,
        )
        client.test_server = server
        return client

    return make
