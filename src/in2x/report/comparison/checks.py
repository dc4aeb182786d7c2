"""What the checks of Japanese and the challenge set found, as parts of the page; read from the commands' JSON files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from in2x.artifacts import In2xError, read_json
from in2x.evaluation.japanese.command import examples, text_hash
from in2x.report.markup import DASH, Html, element, fixed, fold, join, language, note, number, table

if TYPE_CHECKING:
    import polars as pl

NUM_EXAMPLES = 4  # of each check, of different systems


def check_parts(frame: pl.DataFrame, japanese: Path | None, challenge: Mapping[str, Path]) -> dict[str, Html]:
    """Title -> part. `japanese` is what `in2x japanese --out` wrote, `challenge` system -> what `in2x challenge` did.

    Raises:
        In2xError: another kind of file, findings on other texts than the store's, or results on different items.
    """
    parts = japanese_parts(frame, japanese) if japanese else {}
    return parts | ({"Challenge set": challenge_part(challenge)} if challenge else {})


def japanese_parts(frame: pl.DataFrame, path: Path) -> dict[str, Html]:
    """One part for each pair of languages that was checked."""
    found = read_json(path)
    if not isinstance(found, dict) or not {"checks", "pairs", "confidence"} <= found.keys():
        raise In2xError(f"{path}: not what `in2x japanese STORE --out FILE` writes")
    parts = {}
    for pair, result in found["pairs"].items():
        if text_hash(frame.filter(pair=pair), list(result["systems"])) != result["texts"]:
            raise In2xError(f"{path}: {pair}: the checks were made on other translations than the store's; "
                            "run `in2x japanese` on this store")  # fmt: skip
        title = "Japanese" if len(found["pairs"]) == 1 else f"Japanese ({pair})"
        parts[title] = _japanese(found, result)
    return parts


def challenge_part(paths: Mapping[str, Path]) -> Html:
    """A table of systems by category, and traps that were fallen into."""
    results = {system: _challenge_result(path) for system, path in paths.items()}
    data = {system: result["data"] for system, result in results.items()}
    if len(set(data.values())) > 1:
        told = ", ".join(f"{system}: {name}" for system, name in data.items())
        raise In2xError(f"challenge results on different items can't be shown side by side ({told})")
    categories = list(dict.fromkeys(name for result in results.values() for name in result["categories"]))
    tables = []
    for category in categories:
        rows = [
            [element("strong", system), number(scores["num_translations"]), *map(_rate, _rates(scores))]
            for system, result in results.items()
            if (scores := result["categories"].get(category))
        ]
        head = ["System", "Translations", "Accepted %", "Trap %", "Neither %", "Points %"]
        tables += [element("h3", category.capitalize()), table(head, rows, range(1, 6), f"Challenge set: {category}")]
    told = note(
        "Accepted: a known good rendering, a lower bound. Trap: a known mistake. Below each rate its 95% bootstrap "
        f"interval over items. Data {next(iter(data.values()))}."
    )
    return join([told, *tables, fold("Traps, the first of each system", *map(_traps, results.items()))])


def _japanese(found: Mapping[str, Any], result: Mapping[str, Any]) -> Html:
    systems = result["systems"]
    head = ["Check", "Per", *systems]
    consistency = [
        "register consistency (higher is better)",
        element("small", "mean over documents"),
        *(fixed(s["register_consistency"], 3) for s in systems.values()),
    ]
    fired = [name for name in found["checks"] if any(s["rates"][name]["num_findings"] for s in systems.values())]
    rows = [consistency, *(_japanese_row(name, found["checks"][name], systems) for name in fired)]
    quiet = [row["title"] for name, row in found["checks"].items() if name not in fired]
    num_documents = " / ".join(sorted({f"{s['num_documents']:,}" for s in systems.values()}))
    told = (
        f"Findings of rules, lower is better unless it says human: then the rate of human translations is best. Below "
        f"each rate its {found['confidence']:.0%} bootstrap interval over documents ({num_documents})."
    )
    silent = note(f"Nothing found: {', '.join(quiet)}.") if quiet else None
    shown = [_examples(found["checks"][name]["title"], rows) for name, rows in
             examples(result["findings"], NUM_EXAMPLES).items()]  # fmt: skip
    return join([note(told), table(head, rows, range(2, len(head)), "Checks of Japanese"), silent,
                 fold("Examples", *shown) if shown else None])  # fmt: skip


def _japanese_row(name: str, check: Mapping, systems: Mapping[str, Mapping]) -> list:
    unit = check["unit"] + (", human is best" if check["better"] == "human" else "")
    return [check["title"], element("small", unit), *(_rate(system["rates"][name], 2) for system in systems.values())]


def _rate(rate: Mapping | None, digits: int = 1) -> Html:
    if rate is None or rate["value"] is None:
        return element("span", DASH, class_="absent")
    if rate["low"] is None:
        return join([fixed(rate["value"], digits)])
    return join([fixed(rate["value"], digits),
                 element("small", f"{fixed(rate['low'], digits)}–{fixed(rate['high'], digits)}")])  # fmt: skip


def _examples(title: str, rows: list[Mapping]) -> Html:
    items = [
        element("li", element("span", row["context"], lang=language(row["context"])), " ",
                element("small", f"{row['system']}, {row['document']}: {row['message']}"))
        for row in rows
    ]  # fmt: skip
    return join([element("h3", title), element("ul", *items)])


def _challenge_result(path: Path) -> dict:
    found = read_json(path)
    if not isinstance(found, dict) or not {"data", "categories", "verdicts"} <= found.keys():
        raise In2xError(f"{path}: not what `in2x challenge HYPOTHESES --out FILE` writes")
    return found


def _rates(scores: Mapping) -> list[Mapping | None]:
    return [scores["accepted"], scores["trap"], scores["neither"], scores["points"]]


def _traps(item: tuple[str, dict]) -> Html:
    system, result = item
    fallen = [verdict for verdict in result["verdicts"] if verdict["outcome"] == "trap"][: 2 * NUM_EXAMPLES]
    items = [element("li", element("small", verdict["id"]), " ", verdict["reason"]) for verdict in fallen]
    return join([element("h3", system), element("ul", *items) if items else note("None.")])
