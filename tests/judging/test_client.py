"""The client against a real server: order, concurrency, retries, keys, and what ends a run."""

import json
import subprocess
import sys
import threading
import time
from email.utils import formatdate

import pytest

from in2x.artifacts import In2xError
from in2x.judging.client import JudgeClient, Request, Usage, read_api_key
from in2x.judging.fence import fenced
from in2x.judging.transport import Server, Unanswered, endpoint_url, post_with_retries, retry_after_seconds


def _requests(number, version="test-1"):
    return [
        Request(lambda nonce, i=i: fenced("Judge.", {"text": str(i)}, "Go.", nonce), version) for i in range(number)
    ]


@pytest.fixture
def echo(request_of):
    return lambda body, number: "answer " + request_of(body).data["text"]


def test_answers_come_in_the_order_of_the_requests(make_client, echo):
    client = make_client(echo)
    assert [answer.text for answer in client.ask_all(_requests(20))] == [f"answer {i}" for i in range(20)]
    assert client.usage == Usage(sent=20, prompt_tokens=6000, completion_tokens=400)
    assert client.models == {"judge-0905"}


def test_the_request_is_deterministic_and_has_a_nonce_of_its_own(make_client, echo, request_of):
    client = make_client(echo, parameters={"max_tokens": 99, "seed": None, "top_p": 0.5})
    answers = client.ask_all(_requests(3))
    bodies = client.test_server.bodies
    sampling = {"model": "judge", "temperature": 0.0, "max_tokens": 99, "top_p": 0.5}
    assert all({name: body[name] for name in body if name != "messages"} == sampling for body in bodies)
    nonces = {request_of(body).nonce for body in bodies}
    assert len(nonces) == 3 and {answer.nonce for answer in answers} == nonces
    assert client.test_server.headers[0]["path"] == "/v1/chat/completions"


@pytest.mark.parametrize("concurrency", [1, 3, 12])
def test_concurrency_is_kept_and_never_passed(make_client, echo, concurrency):
    """The server replies only when `concurrency` requests are with it at once, and leaves time for one too many."""
    together = threading.Barrier(concurrency, timeout=60)

    def reply(body, number):
        together.wait()
        time.sleep(0.2)
        return echo(body, number)

    client = make_client(reply, concurrency=concurrency, max_retries=0, timeout_seconds=90)
    answers = client.ask_all(_requests(4 * concurrency))
    assert [answer.text for answer in answers] == [f"answer {i}" for i in range(4 * concurrency)]
    assert client.test_server.max_in_flight == concurrency


def test_equal_requests_are_sent_once(make_client, echo):
    client = make_client(echo, cache=False)
    answers = client.ask_all([*_requests(2), *_requests(3)])
    assert [answer.text for answer in answers] == ["answer 0", "answer 1", "answer 0", "answer 1", "answer 2"]
    assert len(client.test_server.bodies) == 3


@pytest.mark.parametrize("status", [429, 500, 503, 529])
def test_a_busy_server_is_asked_again(make_client, echo, status):
    client = make_client(lambda body, n: (status, {}, b"busy") if n < 3 else echo(body, n))
    assert client.ask_all(_requests(1))[0].text == "answer 0"
    assert len(client.test_server.bodies) == 3


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"\xff", b'{"choices": '])
def test_a_garbled_reply_is_asked_for_again(make_client, echo, content):
    client = make_client(lambda body, n: (200, {}, content) if n == 1 else echo(body, n))
    assert client.ask_all(_requests(1))[0].text == "answer 0"


def test_retries_end(make_client):
    client = make_client(lambda body, n: (503, {}, b"the model is being loaded"), max_retries=3)
    answer = client.ask_all(_requests(1))[0]
    assert answer.text is None and answer.failure == "HTTP 503: the model is being loaded"
    assert len(client.test_server.bodies) == 4 and client.usage.failed == 1


class _Stop:
    """Stands in for the event that ends pauses early: notes how long it was waited for."""

    def __init__(self, is_set=False):
        self.is_set, self.pauses = is_set, []

    def wait(self, seconds):
        self.pauses.append(seconds)
        return self.is_set


def test_retry_after_is_waited_for(serve):
    server = serve(lambda body, n: (429, {"Retry-After": "17.5"}, b"") if n == 1 else (200, {}, b"{}"))
    stop = _Stop()
    assert post_with_retries(Server(endpoint_url(server.url)), {}, stop) == {}
    assert stop.pauses == [17.5]


def test_pauses_double_with_jitter_up_to_a_minute(serve):
    server, stop = serve(lambda body, n: (500, {}, b"")), _Stop()
    with pytest.raises(Unanswered, match="HTTP 500"):
        post_with_retries(Server(endpoint_url(server.url), max_retries=8), {}, stop)
    longest = [1, 2, 4, 8, 16, 32, 60, 60]
    assert len(server.bodies) == 9 and len(set(stop.pauses)) == 8
    assert all(most / 2 <= pause <= most for pause, most in zip(stop.pauses, longest, strict=True))


def test_a_run_that_ends_does_not_wait(serve):
    server = serve(lambda body, n: (500, {}, b""))
    with pytest.raises(Unanswered):
        post_with_retries(Server(endpoint_url(server.url)), {}, _Stop(is_set=True))
    assert len(server.bodies) == 1


def test_a_server_that_asks_for_too_long_a_pause_is_not_waited_for(make_client):
    client = make_client(lambda body, n: (429, {"Retry-After": "86400"}, b"quota"))
    answer = client.ask_all(_requests(1))[0]
    assert answer.failure == "HTTP 429: quota; the server asks to wait 86,400 s, more than 300 s"
    assert len(client.test_server.bodies) == 1


def test_retry_after_as_number_date_and_nonsense():
    assert retry_after_seconds("7") == 7.0
    assert 25 < retry_after_seconds(formatdate(time.time() + 30, usegmt=True)) <= 30
    assert retry_after_seconds(formatdate(time.time() - 30, usegmt=True)) == 0
    assert retry_after_seconds("soon") is None and retry_after_seconds(None) is None


def test_one_bad_request_does_not_end_the_others(make_client, echo, request_of):
    def reply(body, number):
        return (400, {}, b"too long") if request_of(body).data["text"] == "1" else echo(body, number)

    client = make_client(reply)
    answers = client.ask_all(_requests(3))
    assert [answer.text for answer in answers] == ["answer 0", None, "answer 2"]
    assert answers[1].failure == "HTTP 400: too long" and len(client.test_server.bodies) == 3  # not asked again


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_a_refusal_ends_the_run_and_hides_the_key(serve, status):
    server = serve(lambda body, n: (status, {"Location": "http://example.invalid/"}, b"bad key sk-very-secret"))
    client = JudgeClient(Server(endpoint_url(server.url), "sk-very-secret"), "judge", concurrency=2)
    with pytest.raises(In2xError, match=f"HTTP {status}: bad key \\*\\*\\*"):
        client.ask_all(_requests(10))
    assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"
    assert len(server.bodies) <= 4 and "sk-very-secret" not in repr(client.server)


def test_a_server_that_is_gone_ends_the_run(serve):
    server = serve(lambda body, n: "never")
    server.shutdown()
    server.server_close()
    client = JudgeClient(Server(endpoint_url(server.url), max_retries=1, backoff_seconds=0.001), "judge", concurrency=2)
    with pytest.raises(In2xError, match="8 requests in a row had no reply.*refused"):
        client.ask_all(_requests(100))


def test_a_silent_server_runs_into_the_deadline(make_client):
    freed = threading.Event()
    client = make_client(lambda body, n: str(freed.wait(20)), timeout_seconds=0.2, max_retries=0)
    answer = client.ask_all(_requests(1))[0]
    freed.set()
    assert answer.text is None and "no reply within 0.2 s" in answer.failure


@pytest.mark.parametrize(
    "changes",
    [
        {"choices": []},
        {"choices": [{"message": {"content": None, "reasoning_content": "Hm"}, "finish_reason": "length"}]},
        {"choices": [{"message": {"content": " \n"}, "finish_reason": "length"}]},
        {"choices": "none"},
    ],
)
def test_a_reply_without_text_is_a_failure_and_not_kept(make_client, completion_of, changes):
    client = make_client(lambda body, n: (200, {}, completion_of("", **changes)))
    for _ in range(2):
        answer = client.ask_all(_requests(1))[0]
        assert answer.text is None and ("no chat completion" in answer.failure or "empty answer" in answer.failure)
    assert len(client.test_server.bodies) == 2 and len(client.cache) == 0


def test_the_cache_answers_the_second_time_whatever_the_endpoint(make_client, echo):
    first = make_client(echo)
    first.ask_all(_requests(5))
    second = make_client(lambda body, n: "another answer")
    answers = second.ask_all(_requests(6))
    assert [answer.text for answer in answers] == [*(f"answer {i}" for i in range(5)), "another answer"]
    assert (second.usage.cached, second.usage.sent) == (5, 1)


def test_model_parameters_and_version_are_part_of_what_is_kept(make_client, echo):
    make_client(echo).ask_all(_requests(1))
    other_parameters = make_client(echo, parameters={"seed": 1})
    other_parameters.ask_all(_requests(1))
    other_version = make_client(echo)
    other_version.ask_all(_requests(1, version="test-2"))
    other_model = make_client(echo)
    other_model.model = "another"
    other_model.ask_all(_requests(1))
    assert [c.usage.sent for c in (other_parameters, other_version, other_model)] == [1, 1, 1]


KILLED = """
import sys
from pathlib import Path
from in2x.judging.cache import AnswerCache
from in2x.judging.client import JudgeClient, Request
from in2x.judging.fence import fenced
from in2x.judging.transport import Server, endpoint_url

requests = [Request(lambda nonce, i=i: fenced("Judge.", {"text": str(i)}, "Go.", nonce), "test-1") for i in range(30)]
JudgeClient(Server(endpoint_url(sys.argv[1])), "judge", AnswerCache(Path(sys.argv[2])), 3).ask_all(requests)
"""


def test_after_a_kill_only_what_was_in_flight_is_asked_again(serve, make_client, echo, tmp_path):
    """The server falls silent after ten answers; once all three threads wait for one, the process is killed."""
    freed, all_wait = threading.Event(), threading.Barrier(4, timeout=100)

    def reply(body, number):
        if number > 10:
            all_wait.wait()
            freed.wait(60)
        return echo(body, number)

    server = serve(reply)
    process = subprocess.Popen([sys.executable, "-c", KILLED, server.url, str(tmp_path / "answers.jsonl")])
    try:
        all_wait.wait()
    finally:
        process.kill()
        process.wait()
        freed.set()
    assert len(server.bodies) == 13
    again = make_client(echo)
    assert [answer.text for answer in again.ask_all(_requests(30))] == [f"answer {i}" for i in range(30)]
    assert (again.usage.cached, again.usage.sent) == (10, 20)


def test_addresses():
    full = "http://h:8000/v1/chat/completions"
    assert [endpoint_url(x) for x in ("http://h:8000", "http://h:8000/v1/", full)] == [full] * 3
    assert endpoint_url("https://h/x/chat/completions?api-version=1") == "https://h/x/chat/completions?api-version=1"
    for bad in ("localhost:8000", "ftp://h", "file:///etc/passwd", ""):
        with pytest.raises(In2xError, match="expected an address"):
            endpoint_url(bad)
    with pytest.raises(In2xError) as error:
        endpoint_url("http://me:hidden@h/v1")
    assert "hidden" not in str(error.value)


def test_keys_are_read_and_never_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("JUDGE_KEY", " sk-abc \n")
    monkeypatch.setenv("BAD_KEY", "sk-abc\ndef")
    monkeypatch.delenv("NO_KEY", raising=False)
    file = tmp_path / "key"
    file.write_text("sk-file\n")
    assert read_api_key() is None
    assert read_api_key("JUDGE_KEY") == "sk-abc" and read_api_key(file=file) == "sk-file"
    for arguments in ({"variable": "NO_KEY"}, {"variable": "BAD_KEY"}, {"file": tmp_path / "none"},
                      {"variable": "sk-abc"}, {"variable": "JUDGE_KEY", "file": file}):  # fmt: skip
        with pytest.raises(In2xError) as error:
            read_api_key(**arguments)
        assert "sk-" not in str(error.value)


def test_nothing_written_holds_the_key(serve, tmp_path, echo, capsys):
    from in2x.judging.cache import AnswerCache

    server = serve(echo)
    cache = AnswerCache(tmp_path / "answers.jsonl")
    JudgeClient(Server(endpoint_url(server.url), "sk-very-secret"), "judge", cache).ask_all(_requests(2))
    assert "secret" not in (tmp_path / "answers.jsonl").read_text() + "".join(capsys.readouterr())
    assert "secret" not in json.dumps(server.bodies)


@pytest.mark.parametrize("options", [{"concurrency": 0}, {"parameters": {"stream": True}}, {"parameters": {"n": 2}}])
def test_misuse_is_refused(options):
    with pytest.raises(ValueError, match="JudgeClient"):
        JudgeClient(Server("http://h/v1/chat/completions"), "judge", **options)
