"""The reward model: how often it prefers the better translation, and what it prefers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from in2x.report.curves import curves
from in2x.report.folders import Run
from in2x.report.markup import Html, element, facts, fold, join, note, number, percent, prose, table, words


def render(run: Run) -> Html:
    stage = run["reward"]
    accuracy = stage.results.get("accuracy")
    accuracy = accuracy if isinstance(accuracy, Mapping) else {"overall": accuracy} if accuracy is not None else {}
    figures = [(f"accuracy, {words(name)}", percent(value)) for name, value in accuracy.items()]
    pairs = stage.results.get("num_pairs")
    figures += [("preference pairs", number(pairs))] if isinstance(pairs, int) else []
    return join([
        facts(figures) if figures else None,
        _trust(stage.results),
        curves("reward", stage.metrics()) or note("No steps were logged."),
        _examples(stage.results.get("examples") or []),
    ])  # fmt: skip


def _trust(results: Mapping[str, Any]) -> Html | None:
    """Calibration, and what length explains; runs before these were measured have neither."""
    calibration, length = results.get("calibration"), results.get("length")
    if not (isinstance(calibration, Mapping) and isinstance(length, Mapping)):
        return None
    rows = [
        [percent(row["confidence"]), percent(row["accuracy"]), number(row["num_pairs"])]
        for row in calibration.get("reliability", ())
    ]
    told = note(
        f"Expected calibration error {percent(calibration.get('expected_error'))}: the mean gap between the first two "
        "columns, weighted by pairs. Confidence is the model's own probability that it prefers the right text."
    )
    names = {
        "score_correlation": "score and ln(length), people's texts: correlation",
        "margin_correlation": "margin and difference of ln(length): correlation",
        "matched_accuracy": "accuracy where lengths differ by a tenth at most",
        "num_matched": "such pairs",
        "slope_removed": "points per ln(length) taken away",
    }
    biases = [(label, number(length[name])) for name, label in names.items() if name in length]
    head = ["Confidence", "Right", "Pairs"]
    return join([table(head, rows, (0, 1, 2), "Calibration on held-out pairs"), told, facts(biases)])


def _examples(examples: list[Mapping[str, Any]]) -> Html | None:
    if not examples:
        return None
    rows = [
        [prose(e.get("source")), prose(e.get("chosen")), prose(e.get("rejected")), number(e.get("margin"))]
        for e in examples
    ]
    shown = table(["Source", "Chosen", "Rejected", "Margin"], rows, (3,), "Preference pairs")
    told = note("Margin: the model's reward for the chosen text less that for the rejected one; below 0 it is wrong.")
    return fold(f"{len(examples)} preference pairs", element("div", shown, told, class_="texts"))
