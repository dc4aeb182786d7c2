"""HTML that escapes by default, and numbers as people read them.

A plain str is text and is escaped; only `Html`, which `element` returns, is markup. Translations and
scraped text are hostile: nothing of them reaches the page by any other way.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

VOID = {"meta", "link", "br", "hr", "img"}
DASH = "–"
SUMMARY_CHARACTERS = 320
MAX_CHARACTERS = 4000
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")
_KANA = re.compile("[\u3041-\u30ff]")
_HAN = re.compile("[\u3400-\u9fff]")
_HANGUL = re.compile("[\uac00-\ud7af]")


class Html(str):
    """Markup that is safe to put into the page as it is."""


def escape(value: Any) -> Html:
    """Return markup for a text; control, bidi-override and lone surrogate characters become U+FFFD."""
    if isinstance(value, Html):
        return value
    return Html(html.escape(_UNPRINTABLE.sub("\ufffd", str(value)), quote=True))


def join(children: Iterable[Any]) -> Html:
    return Html("".join(escape(child) for child in children if child is not None))


def element(tag: str, *children: Any, **attributes: Any) -> Html:
    """Return <tag>; `class_` and `data_label` are written class and data-label, None drops an attribute."""
    names = ((name.rstrip("_").replace("_", "-"), value) for name, value in attributes.items())
    written = "".join(f' {name}="{escape(value)}"' for name, value in names if value is not None)
    if tag in VOID:
        return Html(f"<{tag}{written}>")
    return Html(f"<{tag}{written}>{join(children)}</{tag}>")


def table(head: Sequence[Any], rows: Iterable[Sequence[Any]], numeric: Iterable[int] = (), label: str = "") -> Html:
    """Return a table in a box of its own that scrolls sideways; `numeric` columns are right-aligned.

    Small tables keep to their width, wide ones fill the page and hold their first column in place.
    """
    numbers = set(numeric)
    kind = "narrow" if len(head) <= 3 else "wide"

    def cells(tag: str, row: Sequence[Any]) -> list[Html]:
        kinds = ("number" if column in numbers else None for column in range(len(row)))
        scope = "col" if tag == "th" else None
        return [element(tag, cell, class_=kind, scope=scope) for cell, kind in zip(row, kinds, strict=True)]

    body = [element("tr", *cells("td", row)) for row in rows]
    inner = element("table", element("thead", element("tr", *cells("th", head))), element("tbody", *body))
    return element("div", inner, class_=f"scroll {kind}", tabindex="0", role="region", aria_label=label or "table")


def facts(pairs: Iterable[tuple[str, Any]]) -> Html:
    """Return a row of named figures."""
    items = [element("div", element("dt", name), element("dd", value)) for name, value in pairs]
    return element("dl", *items, class_="facts")


def fold(summary: Any, *children: Any, class_: str = "fold") -> Html:
    return element("details", element("summary", summary), *children, class_=class_)


def note(*children: Any) -> Html:
    return element("p", *children, class_="note")


def language(text: str) -> str:
    """Guess the language of a text from its script, so that the browser picks the right glyphs."""
    if _KANA.search(text):
        return "ja"
    if _HANGUL.search(text):
        return "ko"
    num_han = len(_HAN.findall(text))
    return "en" if not num_han else "zh" if num_han > 12 else "ja"  # long Japanese without kana is rare


def prose(value: Any) -> Html:
    """Return a text of the data with its language; a long one shows its beginning and opens on demand."""
    text = "" if value is None else str(value).strip()
    if not text:
        return element("span", "empty", class_="absent")
    lang = language(text)
    if len(text) <= SUMMARY_CHARACTERS * 1.25:
        return element("div", text, lang=lang, class_="prose")
    rest = text[SUMMARY_CHARACTERS:MAX_CHARACTERS]
    more = element("span", f"+{len(text) - SUMMARY_CHARACTERS:,} characters", class_="more", lang="en")
    start = element("span", text[:SUMMARY_CHARACTERS], "… ", more)
    return element("details", element("summary", start), rest, lang=lang, class_="prose long")


def number(value: Any, digits: int = 3) -> str:
    """Return 12,345 for counts and `digits` significant digits for the rest; a dash for no number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return DASH if value is None else str(value)
    if not math.isfinite(value):
        return "not finite"
    sign, size = "−" if value < 0 else "", abs(value)
    if isinstance(value, int) or (size == int(size) and size >= 1000):
        return f"{sign}{int(size):,}"
    if size and not 1e-3 <= size < 1e6:
        return f"{sign}{size:.{digits - 1}e}".replace("e-0", "e-").replace("e+0", "e")
    decimals = digits - 1 - math.floor(math.log10(size)) if size else digits - 1
    return f"{sign}{size:,.{max(0, decimals)}f}"


def setting(value: Any) -> str:
    """Return a setting as it was given: 0.25, not 0.250."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def fixed(value: Any, digits: int = 1, signed: bool = False) -> str:
    if not isinstance(value, int | float) or not math.isfinite(value):
        return DASH
    return f"{value:{'+' if signed else ''}.{digits}f}".replace("-", "−")


def percent(share: Any, digits: int = 1) -> str:
    if not isinstance(share, int | float):
        return DASH
    least = 10.0**-digits
    return f"< {least:g} %" if 0 < 100 * share < least / 2 else f"{fixed(100 * share, digits)} %"


def compact(value: Any) -> str:
    """Return 1.2 k, 3.4 M, 5.6 B for large counts."""
    if not isinstance(value, int | float) or not math.isfinite(value):
        return DASH
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e4)):
        if abs(value) >= size:
            return f"{value / (1e3 if unit == 'k' else size):.3g} {unit}"
    return number(value)


def duration(seconds: Any) -> str:
    if not isinstance(seconds, int | float) or not math.isfinite(seconds):
        return DASH
    if seconds < 100:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"


def size(num_bytes: Any) -> str:
    if not isinstance(num_bytes, int | float) or num_bytes <= 0:
        return DASH
    return f"{num_bytes / 2**30:.2f} GiB" if num_bytes >= 2**30 else f"{num_bytes / 2**20:.0f} MiB"


def moment(iso: Any) -> str:
    """Return an ISO time as 2026-01-31 09:05, or as it came."""
    try:
        return datetime.fromisoformat(str(iso)).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return str(iso or DASH)


def words(name: Any) -> str:
    """Return 'dual clip fraction' for 'dual_clip_fraction', 'steps' for 'num_steps'."""
    return str(name).removeprefix("num_").replace("_", " ")
