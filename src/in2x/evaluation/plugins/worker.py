"""The metric's side of the protocol; runs under the metric's own Python, so it imports the standard library alone."""

import json
import os
import sys


def serve(score, needs_reference: bool, signature: str) -> None:
    """Answer batches until the input ends; `score` maps a list of rows to a list of numbers or None.

    Whatever the metric prints goes to standard error: standard output belongs to the protocol.
    """
    _say({"ready": True, "needs_reference": needs_reference, "signature": signature})
    for line in sys.stdin:
        rows = json.loads(line)["rows"]
        try:
            scores = [None if value is None else float(value) for value in score(rows)]
        except Exception as error:  # the boundary: the other side decides what a failed batch means
            _say({"error": f"{type(error).__name__}: {error}"})
            continue
        _say({"scores": scores})


def take_standard_output() -> None:
    """Keep the real standard output for the protocol; call it before anything that prints is imported."""
    global _protocol
    _protocol = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def refuse(message: str) -> None:
    """Say why the metric can't start, and end."""
    _say({"error": message})
    sys.exit(1)


def _say(value: dict) -> None:
    _protocol.write(json.dumps(value) + "\n")
    _protocol.flush()


_protocol = sys.stdout
