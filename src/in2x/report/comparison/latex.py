"""The ranking as LaTeX: one booktabs table for each pair of languages."""

from __future__ import annotations

from collections.abc import Mapping

from in2x.report.comparison.ranking import Result, decimals, ordered_systems

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
SPECIAL |= {character: f"\\{character}" for character in "&%$#_{}"}


def tables(results: Mapping[str, Result]) -> str:
    return "\n".join(_table(pair, result) for pair, result in results.items())


def escape(text: str) -> str:
    return "".join(SPECIAL.get(character, character) for character in text)


def _table(pair: str, result: Result) -> str:
    metrics = list(result["signatures"])
    value = {(row["system"], row["metric"]): row for row in result["scores"]}
    cluster = {(row["system"], metric): row["cluster"] for metric, rows in result["clusters"].items() for row in rows}
    arrow = {m: r"$\downarrow$" if m in result["lower_is_better"] else r"$\uparrow$" for m in metrics}
    head = " & ".join(
        ["System", *(f"{escape(m)} {arrow[m]}{'$^*$' if m in result['excluded'] else ''}" for m in metrics)]
    )
    lines = []
    for system in ordered_systems(result):
        cells = [_cell(value[system, m], cluster[system, m], decimals(result, m)) for m in metrics]
        lines.append(" & ".join([escape(system), *cells]) + r" \\")
    signatures = "; ".join(
        f"{escape(name)}: \\texttt{{{escape(found)}}}" for name, found in result["signatures"].items()
    )
    excluded = " ".join(f"$^*$ {escape(metric)}: {escape(why)}." for metric, why in result["excluded"].items())
    level, confidence = result["settings"]["level"], f"{100 * result['settings']['confidence']:g}"
    return "\n".join([
        r"\begin{table}",
        r"\centering",
        r"\begin{tabular}{l" + "r" * len(metrics) + "}",
        r"\toprule", head + r" \\", r"\midrule", *lines, r"\bottomrule",
        r"\end{tabular}",
        rf"\caption{{{escape(pair)}: scores, {confidence}\% bootstrap intervals over {level}s, superscript: cluster."
        rf" {excluded} {signatures}}}",
        r"\end{table}", "",
    ])  # fmt: skip


def _cell(row: Mapping, cluster: int, digits: int) -> str:
    low_high = f"{row['low']:.{digits}f}--{row['high']:.{digits}f}"
    return rf"{row['value']:.{digits}f}$^{{{cluster}}}$ {{\small ({low_high})}}"
