"""Sample translations: source and reference beside the first and the last system, the rest on demand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from in2x.report import systems
from in2x.report.folders import Run
from in2x.report.markup import Html, element, fold, join, note, prose

NUM_OPEN = 10  # segments shown at once; the others are folded


def render(run: Run, max_samples: int) -> Html:
    drawn = _listing(run["evaluate"].records("samples.json")[:max_samples])
    if drawn is None:
        return note("No samples were written.")
    easy = _listing(run["evaluate"].records("easy_samples.json")[:max_samples])
    parts = [note("Segments of the test set, drawn at random."), drawn]
    if easy is not None:
        parts += [
            element("h3", "Simple sentences"),
            note("Drawn at random among the easiest fifth: short, of common words, by the source alone."), easy,
        ]  # fmt: skip
    return join(parts)


def _listing(samples: list[Mapping[str, Any]]) -> Html | None:
    """Segments in a table, the later ones folded; None where there are none."""
    shown = [sample for sample in samples if isinstance(sample.get("hypotheses"), Mapping)]
    if not shown:
        return None
    names = systems.ordered(systems.split_name(n)[0] for sample in shown for n in sample["hypotheses"])
    known = [name for name in names if name.split("/")[0] in systems.ORDER] or names
    first, last = known[0], known[-1]
    head = ["Source", "Reference", systems.display(first), systems.display(last)]
    row = element("tr", *(element("th", title, scope="col") for title in head))
    bodies = [_sample(sample, first, last, head) for sample in shown]
    tables = [
        element("table", element("thead", row), *some, class_="samples")
        for some in (bodies[:NUM_OPEN], bodies[NUM_OPEN:])
        if some
    ]
    rest = fold(f"{len(shown) - NUM_OPEN} more segments", tables[1]) if len(tables) > 1 else None
    return join([tables[0], rest])


def _sample(sample: Mapping[str, Any], first: str, last: str, head: list[str]) -> Html:
    """Return one segment: a row of four cells, and a folded one with every other stage and decoding."""
    hypotheses = {systems.split_name(name): text for name, text in sample["hypotheses"].items()}
    of_last = {d: text for (system, d), text in hypotheses.items() if system == last}
    start = next((d for d in ("greedy", *(d for s, d in hypotheses if s == first)) if (first, d) in hypotheses), "")
    label = element("span", sample.get("segment_id", ""), class_="segment")
    texts = [
        join([prose(sample.get("source")), label]),
        prose(sample.get("reference")),
        prose(hypotheses.get((first, start), "")),
        _decoded(of_last) if first != last else prose(hypotheses.get((first, start), "")),
    ]
    cells = [element("td", text, data_label=name) for text, name in zip(texts, head, strict=True)]
    shown = {(first, start), *((last, decoding) for decoding in of_last)}
    rest = {key: text for key, text in hypotheses.items() if key not in shown}
    more = element("tr", element("td", _stages(rest), colspan=4), class_="more-row") if rest else None
    return element("tbody", element("tr", *cells), more)


def _decoded(texts: Mapping[str, Any]) -> Html:
    """Return the final system's outputs, each under its decoding."""
    return join(
        element("div", element("small", name, class_="tag"), prose(text), class_="decoded")
        for name, text in _distinct(texts)
    )


def _distinct(texts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return (name, text) by decoding; equal texts are written once: [("greedy = MBR", "何してるの？")]."""
    by_text: dict[str, list[str]] = {}
    for decoding in sorted(texts, key=lambda name: (*systems.DECODINGS, name).index(name)):
        by_text.setdefault(str(texts[decoding]), []).append(systems.decoding_name(decoding))
    return [(" = ".join(names), text) for text, names in by_text.items()]


def _stages(hypotheses: Mapping[tuple[str, str], Any]) -> Html:
    entries = []
    for system in systems.ordered(system for system, _ in hypotheses):
        texts = {decoding: text for (owner, decoding), text in hypotheses.items() if owner == system}
        for decoding, text in _distinct(texts):
            name = join([systems.display(system), " ", element("small", decoding)])
            entries += [element("dt", name), element("dd", prose(text))]
    return fold(f"All stages ({len(entries) // 2} more)", element("dl", *entries, class_="stages"))
