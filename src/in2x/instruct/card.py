"""A page about the instruction data, for whoever opens the folder."""

from collections.abc import Mapping, Sequence


def card(results: Mapping) -> str:
    """Markdown from the stage's results: counts, what was missing, and examples."""
    epochs = ", ".join(f"{number:,}" for number in results["num_sft"])
    parts = [
        "# Instruction data",
        f"SFT: {epochs} instructions by epoch, each another draw; {_percent(results['epoch_overlap_fraction'])} of the "
        f"later draws are pairs seen before. RL: {results['num_rl']:,} prompts, of groups that SFT never sees.",
        *(_table(name, results[name]) for name in ("tasks", "directions", "difficulty")),
        *([_files(results["files"])] if "files" in results else []),
        _shortfall(results["shortfall"]),
        "## Examples",
        *(f"{row['task']}\n\n```\n{row['prompt']}\n=> {row['response']}\n```" for row in results["examples"]),
    ]
    return "\n\n".join(parts) + "\n"


def _table(name: str, counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    rows = [f"| {key} | {number:,} | {_percent(number / total)} |" for key, number in counts.items()]
    return "\n".join([f"| {name} | instructions | share |", "|---|---:|---:|", *rows])


def _files(files: Sequence[Mapping]) -> str:
    """What became of the rows of instruct.extra."""
    names = ("path", "use", "task", "direction", "rows", "kept_aside", "prompt_taken", "drawn")
    rows = ["| " + " | ".join(str(file[name]) for name in names) + " |" for file in files]
    return "\n".join(["| " + " | ".join(names).replace("_", " ") + " |", "|" + "---|" * len(names), *rows])


def _shortfall(shortfall: Mapping[str, Mapping[str, int]]) -> str:
    lines = [f"- {draw}, {cell}: {number:,}" for draw, cells in shortfall.items() for cell, number in cells.items()]
    return "\n".join(["## Wanted, but not in the corpus", "", *(lines or ["Nothing."])])


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"
