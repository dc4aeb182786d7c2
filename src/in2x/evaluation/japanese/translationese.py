"""Translationese: phrases that render English word by word and that human translators use far less.

The table holds the markers that machine output has more of than the human references of the same sources: chosen on
WMT23 (16 systems, 2,074 segments), kept when WMT24 (12 systems, 170 documents) agrees. `weight` is log2 of WMT23's rate
ratio, at most 2. Phrases that style guides name but the data does not bear out (ということ, もし〜なら) are left out;
docs/japanese.md gives the figures of both.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from in2x.evaluation.japanese.document import Finding, check_segments, prose, sentences

_COPULA = "(?:です|でした|だ|だった|である|であった)"
_OPENING = r"(?:^|(?<=[。！？\n「])|(?<=[。！？][ 　]))"


@dataclass(frozen=True, slots=True)
class Marker:
    """One phrase with its weight and the English it gives away."""

    name: str
    pattern: re.Pattern[str]
    weight: float
    english: str


def _marker(name: str, weight: float, english: str, pattern: str) -> Marker:
    return Marker(name, re.compile(pattern, re.MULTILINE), weight, english)


MARKERS = (
    _marker("ことができる", 2.0, "can do", r"こと(?:が|も|は)(?:でき|出来|可能)"),
    _marker("のうちの一つ", 2.0, "one of the", r"のうちの[1１一](?:つ|人)"),
    _marker("の一つだ", 1.9, "is one of", r"(?<!うち)の[1１一]つ(?:です|である|だ|で|は|と)"),
    _marker("それは", 1.7, "it is", _OPENING + rf"それは[^。]{{1,60}}{_COPULA}(?=[。！]|$)"),
    _marker("を意味する", 2.0, "means", r"を意味(?:し|する)"),
    _marker("なぜなら", 2.0, "because, after the fact", r"なぜなら"),
    _marker("しかし", 2.0, "But at the beginning", _OPENING + r"しかし"),
    _marker("自身", 2.0, "himself, itself", r"(?:彼|彼女|私|あなた|自分|それ|彼ら)(?:自身|自体)"),
    _marker("を持っている", 1.8, "have", r"を(?:持っ|もっ)て(?:い|お)|を持ち|を持つ"),
    _marker("すべての", 1.8, "all of", r"(?:すべて|全て)の"),
    _marker("ために", 1.7, "in order to", r"ために"),
    _marker("彼の", 1.7, "his, her, my, your", r"(?:彼|彼女|私|あなた|彼ら|私たち|それら|それ)の"),
    _marker("することを", 1.6, "to do, as an object", r"することを"),
    _marker("人々", 1.6, "people", r"人々"),
    _marker("そして", 1.6, "And at the beginning", _OPENING + r"そして"),
    _marker("ことだ", 1.5, "it is to, the thing is that", rf"(?<!という)こと{_COPULA}(?=[。！]|$)"),
    _marker("非常に", 1.5, "very", r"非常に"),
    _marker("必要がある", 1.4, "need to", r"必要があ"),
    _marker("ように見える", 1.4, "seems", r"ように(?:見え|思え|思われ|感じ)"),
    _marker("を与える", 1.3, "give", r"を与え"),
    _marker("これは", 1.1, "This is at the beginning", _OPENING + r"これは"),
    _marker("いくつか", 1.1, "some", r"いくつか|いくらか"),
    _marker("多くの", 1.1, "many", r"多くの"),
    _marker("によって〜れる", 1.1, "by, with a passive", r"に(?:よって|より)[^。、]{0,25}(?:れ|られ)(?:る|た|ま|て)"),
    _marker("最も", 0.9, "most", r"最も"),
    _marker("のような", 0.5, "such as", r"のような"),
)  # fmt: skip
DENSE_WEIGHT = 3.5  # markers in one sentence that together weigh this much


def markers(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """List every marker with its weight; not faults one by one, their rate is what tells."""
    check_segments(segments, sources)
    return [
        Finding("translationese", "note", number, *match.span(), f"{marker.name}: {marker.english}", marker.weight)
        for number, segment in enumerate(segments)
        for marker in MARKERS
        for match in marker.pattern.finditer(prose(segment))
    ]


def dense_sentences(segments: Sequence[str], sources: Sequence[str] | None = None) -> list[Finding]:
    """Find sentences whose different markers weigh DENSE_WEIGHT or more together."""
    found = []
    for sentence in sentences(segments):
        text = prose(sentence.text)
        hits = [marker for marker in MARKERS if marker.pattern.search(text)]
        if sum(marker.weight for marker in hits) >= DENSE_WEIGHT:
            message = ", ".join(marker.name for marker in hits)
            place = (sentence.segment, sentence.start, sentence.end)
            found.append(Finding("dense_translationese", "minor", *place, message))
    return found


def marker_counts(segments: Sequence[str]) -> Counter[str]:
    """Count the markers by name."""
    return Counter(finding.message.partition(":")[0] for finding in markers(segments))
