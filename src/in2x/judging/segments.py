"""What is judged, what comes of it, and the gate that is passed before any request is sent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from in2x.artifacts import In2xError

Message = dict[str, str]  # {"role": "system" | "user", "content": text}
Gate = Callable[[str, str, str], str | None]  # hypothesis, source, target language -> reason to fail, or None

MAX_LENGTH_RATIO, MAX_EXTRA_CHARS = 10, 400  # a translation longer than 10 times its source and 400 more is none
MAX_SHOWN_CHARS, NUM_SHOWN = 400, 3


@dataclass(frozen=True)
class Segment:
    """One translation and what it is of, e.g. Segment("en-ja", "Hi!", "どうも！"); the reference is optional."""

    pair: str
    source: str
    hypothesis: str
    reference: str | None = None


@dataclass(frozen=True)
class Verdict:
    """A score, or why there is none.

    scored: the judge's score. gated: the floor, nothing was asked; `reason` is the gate's. failed: `score` is None and
    `reason` says what went wrong; `raw` holds the answer that could not be read, where one came.
    """

    status: Literal["scored", "gated", "failed"]
    score: float | None
    reason: str = ""
    raw: str | None = None
    detail: dict | None = None


def failed(reason: str, raw: str | None = None) -> Verdict:
    return Verdict("failed", None, reason, raw)


def split_pair(pair: str) -> tuple[str, str]:
    """Source and target language of "en-ja" or "en-ja_JP".

    Raises:
        In2xError: not two languages.
    """
    source, _, target = pair.partition("-")
    if not source or not target:
        raise In2xError(f"pair {pair!r}: expected source and target language with a hyphen between, such as en-ja")
    return source, target


def language_names(pair: str) -> tuple[str, str]:
    """English names of both languages of a pair, for prompts."""
    from in2x.instruct.prompts import language_name

    source, target = split_pair(pair)
    return language_name(source), language_name(target)


def default_gate(hypothesis: str, source: str, target_language: str) -> str | None:
    """Fail what is empty, far longer than its source, or not in a script of the target language.

    Raises:
        In2xError: a target language whose script is not known.
    """
    from in2x.rewards import gates

    if len(hypothesis) > MAX_LENGTH_RATIO * len(source) + MAX_EXTRA_CHARS:
        return f"over-long: {len(hypothesis)} characters for {len(source)} of the source"
    try:
        return gates.empty(hypothesis) or gates.wrong_language(hypothesis, target_language)
    except ValueError as error:
        raise In2xError(f"{error}; or judge without the gate (--no-gate)") from None


def no_gate(hypothesis: str, source: str, target_language: str) -> str | None:
    """Let everything pass but the empty text, which can't be judged."""
    return None if hypothesis.strip() else "empty"


def failing_share(verdicts: Sequence[Verdict]) -> float:
    """Failures among what the judge was asked for; what a gate stopped was not asked."""
    asked = [verdict for verdict in verdicts if verdict.status != "gated"]
    return sum(verdict.status == "failed" for verdict in asked) / len(asked) if asked else 0.0


def check_failing(verdicts: Sequence[Verdict], max_failing: float) -> None:
    """Stop where too many answers could not be read.

    Raises:
        In2xError: the share of failures is above `max_failing`; shows three of the raw answers.
    """
    share = failing_share(verdicts)
    if share <= max_failing:
        return
    failures = [verdict for verdict in verdicts if verdict.status == "failed"]
    asked = sum(verdict.status != "gated" for verdict in verdicts)
    shown = sorted(failures, key=lambda verdict: verdict.raw is None)[:NUM_SHOWN]
    raise In2xError(
        f"{len(failures):,} of {asked:,} judgements failed ({share:.0%}; --max-failing allows {max_failing:.0%}):\n"
        + "\n".join(f"  {verdict.reason}: {_shown(verdict.raw)}" for verdict in shown)
        + "\nUse a model that keeps to the form, raise max_tokens if answers are cut off, or allow more failures"
    )


def _shown(raw: str | None) -> str:
    from in2x.judging.fence import encode

    if raw is None:
        return "(no answer)"
    return encode(raw[:MAX_SHOWN_CHARS]) + ("..." if len(raw) > MAX_SHOWN_CHARS else "")
