"""One HTTP request to a chat endpoint: deadline, retries with growing pauses, and errors that say what to mend.

Of the standard library only. Redirects are refused, since they would carry the key to another host.
"""

from __future__ import annotations

import email.utils
import functools
import http.client
import ipaddress
import json
import random
import ssl
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field

from in2x.artifacts import In2xError

RETRIED_STATUSES = {408, 409, 425, 429, *range(500, 600)}
REFUSED_STATUSES = {401, 402, 403, 404, 405, *range(300, 400)}  # the next request would fare no better
MAX_REPLY_BYTES = 4_000_000
MAX_BACKOFF_SECONDS = 60.0


@dataclass(frozen=True)
class Server:
    """Where requests go, and how patiently."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    timeout_seconds: float = 120.0  # per try, whole reply
    max_retries: int = 6
    backoff_seconds: float = 1.0  # the first pause; each one is twice as long, and 50 to 100 % of that is waited
    max_wait_seconds: float = 300.0  # a server that asks for a longer pause is not waited for


class Unanswered(Exception):
    """No usable reply to this request; the next may fare better. `reached`: the server did reply."""

    def __init__(self, reason: str, reached: bool, retry: bool = False, wait_seconds: float | None = None):
        super().__init__(reason)
        self.reached, self.retry, self.wait_seconds = reached, retry, wait_seconds


def endpoint_url(endpoint: str) -> str:
    """The address of chat completions, from http://host:8000, .../v1 or the full address.

    Raises:
        In2xError: not an http(s) address, or one with a password in it.
    """
    parts = urllib.parse.urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise In2xError(f"endpoint {endpoint!r}: expected an address such as http://localhost:8000/v1")
    if parts.username or parts.password:
        raise In2xError(
            f"endpoint at {parts.hostname}: a password in the address would be logged; use --api-key-variable"
        )
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = f"{path or '/v1'}/chat/completions"
    return urllib.parse.urlunsplit(parts._replace(path=path, fragment=""))


def post_with_retries(server: Server, body: dict, stop: threading.Event) -> dict:
    """The JSON object that the server replies with; pauses end early when `stop` is set.

    Raises:
        Unanswered: all tries failed, or one in a way that another try can't mend.
        In2xError: the server refuses requests like this altogether: key, address, model.
    """
    for attempt in range(server.max_retries + 1):
        try:
            return post(server, body)
        except Unanswered as error:
            wait = _pause_seconds(server, attempt) if error.wait_seconds is None else error.wait_seconds
            if not error.retry or attempt == server.max_retries:
                raise
            if wait > server.max_wait_seconds:
                reason = f"{error}; the server asks to wait {wait:,.0f} s, more than {server.max_wait_seconds:,.0f} s"
                raise Unanswered(reason, error.reached) from None
            if stop.wait(wait):
                raise
    raise AssertionError("unreachable")


def post(server: Server, body: dict) -> dict:
    """Send once."""
    request = urllib.request.Request(server.url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    if server.api_key:
        request.add_unredirected_header("Authorization", f"Bearer {server.api_key}")
    deadline = time.monotonic() + server.timeout_seconds
    try:
        with _opener(server.url).open(request, timeout=server.timeout_seconds) as response:
            return _json_object(_read(response, deadline, server.timeout_seconds))
    except urllib.error.HTTPError as error:
        with error:
            raise _of_status(server, error, deadline) from None
    except (OSError, http.client.HTTPException) as error:
        raise _of_connection(server, error) from None


def _of_status(server: Server, error: urllib.error.HTTPError, deadline: float) -> Exception:
    try:
        text = _read(error, deadline, server.timeout_seconds).decode("utf-8", "replace")[:500]
    except (Unanswered, OSError, http.client.HTTPException):
        text = ""
    if server.api_key:
        text = text.replace(server.api_key, "***")
    reason = f"HTTP {error.code}: {' '.join(text.split()) or error.reason}"
    if error.code in REFUSED_STATUSES:
        return In2xError(f"{server.url}: {reason}\nCheck the endpoint's address, the API key and the model's name")
    wait = retry_after_seconds(error.headers.get("Retry-After"))
    return Unanswered(reason, reached=True, retry=error.code in RETRIED_STATUSES, wait_seconds=wait)


def _of_connection(server: Server, error: Exception) -> Exception:
    cause = error.reason if isinstance(error, urllib.error.URLError) and error.reason else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return In2xError(f"{server.url}: its certificate is not trusted ({cause.verify_message})")
    words = f"no reply within {server.timeout_seconds:g} s" if isinstance(cause, TimeoutError) else str(cause)
    return Unanswered(f"{type(cause).__name__}: {words}", reached=False, retry=True)


def retry_after_seconds(value: str | None) -> float | None:
    """Seconds from a Retry-After header, a number or a date; None where there is none that can be read."""
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _pause_seconds(server: Server, attempt: int) -> float:
    return min(MAX_BACKOFF_SECONDS, server.backoff_seconds * 2**attempt) * random.uniform(0.5, 1)


def _read(response, deadline: float, timeout_seconds: float) -> bytes:
    """The body, within the deadline and the limit of size, however slowly it trickles in."""
    parts, size = [], 0
    while part := response.read1(1 << 16):
        parts.append(part)
        size += len(part)
        if size > MAX_REPLY_BYTES:
            raise Unanswered(f"the reply is longer than {MAX_REPLY_BYTES:,} bytes", reached=True)
        if time.monotonic() > deadline:
            raise Unanswered(f"no complete reply within {timeout_seconds:g} s", reached=True, retry=True)
    return b"".join(parts)


def _json_object(content: bytes) -> dict:
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Unanswered(f"the reply is not a JSON object: {content[:200]!r}", reached=True, retry=True)
    return value


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments) -> None:
        return None


@functools.lru_cache(maxsize=8)
def _opener(url: str) -> urllib.request.OpenerDirector:
    """Proxies of the environment are used, but not on the way to this machine."""
    proxies = [urllib.request.ProxyHandler({})] if _is_loopback(urllib.parse.urlsplit(url).hostname) else []
    return urllib.request.build_opener(_NoRedirects, *proxies)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
