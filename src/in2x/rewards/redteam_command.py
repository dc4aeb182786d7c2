"""The attacks against the reward of a recipe's run: what `in2x redteam` does.

Three kinds of honest translation, each with its own table:
    reference   the reference itself. For components that compare with the reference it is the easiest case.
    human       another person's translation of the same source, against the reference. Pairs that the corpus has
                twice, and that neither instructions nor the preference model were made from.
    policy      what the supervised model writes (greedy), against the reference: what RL starts from.
The development split comes first, then pairs that the run made no instruction of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from in2x import artifacts, stages
from in2x.artifacts import In2xError
from in2x.records import Completion
from in2x.rewards.redteam import Case, Pair, make_cases

if TYPE_CHECKING:
    from in2x.recipe import Recipe

SETTINGS = ("reference", "human", "policy")
SUM = "sum"
OF_PROBLEMS = ("answer", "format")  # components of tasks that are no translation
POOL_FACTOR = 25  # pairs looked through for each case asked for: some attacks apply to one pair in twenty
POLICY_FACTOR = 5  # the same, where each pair costs a translation
ANOTHER = "\ufffc"


def redteam_cli(recipe, run, json_out, num_cases, group_size, honest, fail_above) -> None:
    """Print the report, write it where asked, and refuse a sum above `fail_above`.

    Raises:
        In2xError: an attack beats the honest translation in a larger share of cases than that.
    """
    unknown = sorted(set(honest or ()) - set(SETTINGS))
    if unknown:
        raise In2xError(f"--honest {unknown[0]}: expected {', '.join(SETTINGS)}")
    import transformers  # noqa: F401, before it is told to be quiet

    stages.silence_transformers()
    report = redteam_command(recipe, run, settings=honest or SETTINGS, num_cases=num_cases, group_size=group_size,
                             seed=recipe.seed)  # fmt: skip
    print("\n".join(report_lines(report)))
    if json_out:
        artifacts.write_json(json_out, report_json(report))
        print(json_out)
    bad = failing(report, fail_above) if fail_above is not None else []
    if bad:
        raise In2xError("\n".join([f"above {fail_above:.1%}:", *bad]))


def redteam_command(
    recipe: Recipe,
    run: Path | None,
    *,
    settings: Sequence[str] = SETTINGS,
    num_cases: int = 300,
    group_size: int | None = None,
    seed: int = 0,
    advance=print,
) -> dict:
    """Attack the reward of `recipe` (its section rl, or the defaults) with the models of its run.

    `run`: a folder to take as it is, whatever its stages were made by; left out, the recipe's own, whose stages must be
    complete under this recipe. Returns a report for `write_json`: settings -> findings, and what the figures are of.

    Raises:
        In2xError: no corpus, or stages that are stale. What else is missing is left out and told in "missing".
    """
    from in2x.sections import RlSection

    section = recipe.rl or RlSection()
    folder = run or recipe.folder
    names = ("corpus", "instruct", "sft", "reward")
    if run is None:
        _check_fresh(recipe, names)
    there = {name: (folder / name / "manifest.json").exists() for name in names}
    if not there["corpus"]:
        raise In2xError(f"{folder / 'corpus'}: not there; run `in2x corpus` with the recipe, or give --run FOLDER")
    return _report(section, folder, there, settings, num_cases, group_size or section.group_size, seed, advance)


def _report(section, folder, there: Mapping[str, bool], settings, num_cases, group_size, seed, advance) -> dict:
    from in2x.rewards import redteam as team

    direction = tuple(artifacts.read_json(folder / "corpus" / "manifest.json")["section"]["pair"].split("-"))
    tokenizer, weights, rewards, components, missing = _judges(section, folder, there)
    policy = _Policy(folder, there, section, seed, direction[1])
    num_samples = group_size - 2 if there["sft"] else 0
    if not there["sft"]:
        missing.append("sft: no policy to sample from; each group is the honest translation and the attack alone")
    report = {
        "folder": str(folder), "direction": "-".join(direction), "weights": weights, "missing": missing,
        "num_cases": num_cases, "group_size": num_samples + 2, "seed": seed, "bound": team.BOUND,
        "sums": [SUM, SUM + team.BLIND],
        "max_completion_tokens": section.max_completion_tokens, "git_commit": artifacts.git_commit(), "settings": {},
    }  # fmt: skip
    with closing(rewards[SUM]):
        for setting in settings if there["sft"] else [name for name in settings if name != "policy"]:
            pairs = _pairs(setting, folder, there, num_cases, seed)
            if len(pairs) < 2:
                missing.append(f"{setting}: {len(pairs)} such pairs in {folder / 'corpus'}")
                continue
            cases = _cases(setting, pairs, policy, num_samples, direction[1], num_cases, seed)
            advance(f"{setting}: {len(cases):,} attacks on {len({case.pair.id for case in cases}):,} pairs")
            findings = team.redteam(cases, rewards, components, tokenizer, section.max_completion_tokens, direction)
            report["settings"][setting] = findings
    return report


def report_lines(report: dict, markdown: bool = False) -> list[str]:
    """The report for a terminal."""
    from in2x.rewards.redteam import table

    weights = ", ".join(f"{name} {weight:g}" for name, weight in report["weights"].items())
    lines = [f"{report['folder']}: {weights}; groups of {report['group_size']}"]
    lines += [f"missing: {text}" for text in report["missing"]]
    for setting, findings in report["settings"].items():
        lines += ["", f"honest: {setting} ({findings.num_honest_failed} cases left out: the honest text fails a gate)"]
        lines += table(findings, report["sums"], markdown)
    return lines


def report_json(report: dict) -> dict:
    from in2x.rewards.redteam import as_json

    return report | {"settings": {name: as_json(findings) for name, findings in report["settings"].items()}}


def failing(report: dict, bound: float) -> list[str]:
    """A line for each cell of the sum above `bound`."""
    return [
        f"{setting}: {attack} beats the honest translation in {cell.share:.1%} of {cell.num} cases"
        for setting, findings in report["settings"].items()
        for attack, cell in findings.above(SUM, bound).items()
    ]


def _check_fresh(recipe: Recipe, names: Sequence[str]) -> None:
    """Refuse stages that another state of the recipe has made; a stage that has not run is told later."""
    prints = stages.fingerprints(recipe)
    for name in names:
        where = recipe.folder / name
        if (where / "manifest.json").exists() and not artifacts.is_complete(where, prints.get(name, "")):
            raise In2xError(
                f"{where}: not complete under this recipe; run `in2x {name}` again, or take the folder as it is with "
                f"--run {recipe.folder}"
            )


def _judges(section, folder: Path, there: Mapping[str, bool]):
    """(tokenizer, weights, the reward, each component alone, what is missing)."""
    from in2x.evaluation.reconstruction import load_reconstructor
    from in2x.model.loading import load_tokenizer, on_device
    from in2x.rewards import naturalness
    from in2x.rewards.alignment import load_lexicon
    from in2x.rewards.build import build_reward, length_ratios
    from in2x.rewards.components import COMPONENTS
    from in2x.rewards.measure import measure

    files = {
        "preference": folder / "reward" / "naturalness", "lexicon": folder / "reward" / "lexicon.parquet",
        "reconstructor": folder / "sft" / "model",
    }  # fmt: skip
    if not there["reward"] and not there["sft"]:
        raise In2xError(f"{folder}: neither sft nor reward has run, so there is no tokenizer to count tokens with")
    tokenizer = load_tokenizer(files["preference"] if there["reward"] else folder / "sft" / "model")
    weights, missing = {name: weight for name, weight in section.reward_weights.items() if weight}, []
    for name in list(weights):
        lacking = [files[need] for need in COMPONENTS[name].needs if need in files and not files[need].exists()]
        if lacking:
            del weights[name]
            stage = lacking[0].relative_to(folder).parts[0]
            missing.append(f"{name}: left out of the sum, since {lacking[0]} is not there; run `in2x {stage}` first")
    inputs = {name: folder / name for name in ("corpus", "sft", "reward")}
    reward = build_reward(section.model_copy(update={"reward_weights": weights}), tokenizer, inputs)
    resources = replace(
        reward.resources,
        preference=(on_device(naturalness.load(files["preference"])), tokenizer) if there["reward"] else None,
        lexicon=load_lexicon(files["lexicon"]) if files["lexicon"].exists() else None,
        reconstructor=reward.resources.reconstructor
        or (load_reconstructor(files["reconstructor"]) if there["sft"] else None),
        length_ratios=length_ratios(folder / "corpus"),
    )
    names = measurable(resources)

    def alone(groups) -> dict[str, np.ndarray]:
        every_PG = np.ones((len(groups), 2), dtype=bool)
        found = {name: measure(name, groups, every_PG, resources).values_PG for name in names}
        return {name: values_PG for name, values_PG in found.items() if np.isfinite(values_PG).any()}

    return tokenizer, weights, {SUM: reward}, alone, missing


def measurable(resources) -> list[str]:
    """The components of translations that the resources suffice for, without those that ask another process."""
    from in2x.rewards.components import COMPONENTS, check_resources

    names = []
    for name, component in COMPONENTS.items():
        try:
            check_resources([name], resources)
        except In2xError:
            continue
        if name not in OF_PROBLEMS and not component.remote:
            names.append(name)
    return names


class _Policy:
    """The supervised model of a run, loaded when first asked."""

    def __init__(self, folder: Path, there: Mapping[str, bool], section, seed: int, target_language: str):
        self.path = folder / "sft" / "model" if there["sft"] else None
        self.section, self.seed, self.target_language = section, seed, target_language

    def translate(self, sources: list[str], num_samples: int) -> list[list[Completion]]:
        """Samples at RL's first temperature; the greedy translation where `num_samples` is 0."""
        from in2x.decoding.translate import translate

        if self.path is None:
            return [[] for _ in sources]
        sampling = {"num_samples": num_samples, "temperature": self.section.start_temperature} if num_samples else {}
        return translate(
            *self._model, sources, self.target_language, max_completion_tokens=self.section.max_completion_tokens,
            seed=self.seed, **sampling,
        )  # fmt: skip

    @cached_property
    def _model(self):
        from in2x.model.loading import load_model, load_tokenizer, on_device

        return on_device(load_model(self.path)), load_tokenizer(self.path)


def _pairs(setting: str, folder: Path, there: Mapping[str, bool], num_cases: int, seed: int) -> list[Pair]:
    """The pairs of a kind of honest translation, in random order, development split first; without samples."""
    corpus = pl.read_parquet(folder / "corpus" / "pairs.parquet").filter(pl.col("split") != "test")
    seen: list[str] = []
    for stage, name in (("instruct", "sft.parquet"), ("instruct", "rl.parquet"), ("reward", "pairs.parquet")):
        if there[stage] and (folder / stage / name).exists():
            seen += pl.read_parquet(folder / stage / name, columns=["source"])["source"].to_list()
    unseen = corpus.filter((pl.col("split") == "dev") | ~pl.col("source").is_in(pl.Series(seen).implode()))
    drawn = unseen.sample(fraction=1.0, shuffle=True, seed=seed).sort(pl.col("split") != "dev", maintain_order=True)
    if setting != "human":
        rows = drawn.head(POOL_FACTOR * num_cases).select("id", "source", "target").rows()
        return [Pair(id_, source, target, target) for id_, source, target in rows]
    twice = drawn.group_by("source", maintain_order=True).agg("id", "target").filter(pl.col("target").list.len() > 1)
    rows = twice.head(POOL_FACTOR * num_cases).rows()
    return [Pair(ids[0], source, targets[0], targets[1]) for source, ids, targets in rows]


def _cases(setting: str, pairs: list[Pair], policy: _Policy, num_samples: int, target, num_cases, seed) -> list[Case]:
    """Attacks on the pairs, first found, then made again with the samples of the pairs that are in use.

    A policy's greedy translations are asked for in portions, since not every attack applies to every pair.
    """
    if setting == "policy":
        pairs = pairs[: POLICY_FACTOR * num_cases]
        greedy = policy.translate([pair.source for pair in pairs], 0)
        pairs = [replace(pair, honest=group[0].text) for pair, group in zip(pairs, greedy, strict=True)]
        pairs = [pair for pair in pairs if pair.honest.strip()]
    placeholder = (Completion([], [], ANOTHER, True),) if num_samples else ()  # for attacks that need another sample
    drafts = make_cases([replace(pair, samples=placeholder) for pair in pairs], target, num_cases, seed)
    used = {case.pair.id for case in drafts}
    pairs = [pair for pair in pairs if pair.id in used]
    samples = policy.translate([pair.source for pair in pairs], num_samples) if num_samples else [()] * len(pairs)
    pairs = [replace(pair, samples=tuple(group)) for pair, group in zip(pairs, samples, strict=True)]
    return make_cases(pairs, target, num_cases, seed)
