"""What no section can know by itself: stages that lack their inputs, files that aren't there, settings that don't fit.

Each check is a function from a recipe to problems; a section that is missing or invalid is None, and is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from in2x.instruct import checks as instruct_checks
from in2x.model_size import PUBLISHED, is_hub_id, read_config
from in2x.problems import Problem, did_you_mean, nearest
from in2x.rewards import checks as reward_checks
from in2x.rl import checks as rl_checks
from in2x.sections import InstructSection
from in2x.sections.instruct import MADE_TASKS
from in2x.sections.pretrain import BILINGUAL_STREAMS
from in2x.stages import STAGES

if TYPE_CHECKING:
    from in2x.recipe import Recipe

REWARDS = (
    "adequacy", "bleu", "embedding", "coverage", "reconstruction", "qe", "naturalness", "rubric", "length",
    "relative_length", "repetition", "numbers", "dates", "markup", "terms", "untranslated", "script", "register",
    "polarity", "names", "style", "answer", "format",
)  # fmt: skip
TASKS = tuple(InstructSection.model_fields["tasks"].default)
DOMAINS = ("conversational", "knowledge")
LEAST_PIECES = 256 + 4
"""Of a byte-level tokenizer: the bytes, and the special tokens."""


def problems(recipe: Recipe) -> list[Problem]:
    return [problem for check in CHECKS for problem in check(recipe)]


def missing_inputs(tables: Sequence[str]) -> list[Problem]:
    """A stage whose inputs the recipe doesn't have can't be run."""
    return [
        Problem((name,), f"{name} needs {need}, which the recipe doesn't have: add {_article(need)} [{need}] table")
        for name in tables
        for need in STAGES[name].inputs
        if need not in tables
    ]


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" or word == "rl" else "a"


def _files(recipe: Recipe) -> Iterator[Problem]:
    for index, source in enumerate(recipe.corpus.sources if recipe.corpus else ()):
        paths = source.path if isinstance(source.path, tuple) else (source.path,)
        for path in paths:
            if path is not None and not path.exists():
                yield Problem(("corpus", "sources", index, "path"), _not_there(path, "file"))
    lexicon = recipe.pretrain.lexicon if recipe.pretrain else None
    if lexicon is not None and not lexicon.is_file():
        yield Problem(("pretrain", "lexicon"), _not_there(lexicon, "file"))
    base = recipe.pretrain.base if recipe.pretrain else None
    if base is None or is_hub_id(base):
        return
    if not Path(base).is_dir():
        yield Problem(("pretrain", "base"), _not_there(Path(base), "folder"))
    elif not (Path(base) / "config.json").exists():
        yield Problem(("pretrain", "base"), f"{base} is no model: it holds no config.json")


def _not_there(path: Path, kind: str) -> str:
    """Say where it was looked for, and the nearest name that there is."""
    folder = path
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    missing, *rest = path.parts[len(folder.parts) :]
    names = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
    meant = (folder / (nearest(missing, names, 0.5) or missing)).joinpath(*rest)
    where = "" if path.is_absolute() else f" in {Path.cwd()}, the current directory"
    return f"there is no {kind} {path}{where}" + (f"; did you mean {meant}?" if meant.exists() else "")


def _corpus(recipe: Recipe) -> Iterator[Problem]:
    if not recipe.corpus:
        return
    pair, sources = recipe.corpus.pair, recipe.corpus.sources
    names, languages = [source.name for source in sources], pair.split("-")
    for index, source in enumerate(sources):
        place = ("corpus", "sources", index)
        if source.name in names[:index]:
            yield Problem((*place, "name"), f"{source.name!r} is taken: names of sources must differ")
        if source.kind == "text" and source.language not in languages:
            yield Problem((*place, "language"), f"expected {_any_of(languages)}, got {source.language!r}")
        if source.kind == "tatoeba" and pair != "en-ja":
            yield Problem((*place, "kind"), f"tatoeba holds en-ja, and corpus.pair is {pair}")


def _streams(recipe: Recipe) -> Iterator[Problem]:
    if not (recipe.corpus and recipe.pretrain):
        return
    kinds = (*recipe.corpus.pair.split("-"), *BILINGUAL_STREAMS)
    known = [*kinds, *(f"{kind}:{domain}" for kind in kinds for domain in DOMAINS)]
    for index, phase in enumerate(recipe.pretrain.phases):
        for name in phase.mixture:
            if name not in known:
                place = ("pretrain", "phases", index, "mixture", name)
                yield Problem(place, f"unknown stream; {did_you_mean(name, known)}")


def _scratch(recipe: Recipe) -> Iterator[Problem]:
    scratch = recipe.pretrain.scratch if recipe.pretrain else None
    if not scratch:
        return
    place, heads, kv_heads = ("pretrain", "scratch"), scratch.num_heads, scratch.num_kv_heads
    if heads % kv_heads:
        yield Problem((*place, "num_heads"), f"{heads} is no multiple of num_kv_heads, {kv_heads}")
    if scratch.head_dim % 2:
        yield Problem((*place, "head_dim"), f"rotary positions need an even number, got {scratch.head_dim}")
    if scratch.vocab_size < LEAST_PIECES:
        message = f"a byte-level tokenizer needs at least {LEAST_PIECES} pieces, got {scratch.vocab_size}"
        yield Problem((*place, "vocab_size"), message)


def _contexts(recipe: Recipe) -> Iterator[Problem]:
    """No row may be longer than a step, nor than the model's positions, which a phase's `rope` makes longer."""
    rows = {}
    limit = max_position_tokens(recipe) if recipe.pretrain else None
    for index, phase in enumerate(recipe.pretrain.phases if recipe.pretrain else ()):
        place = ("pretrain", "phases", index, "context_tokens")
        rows[place] = phase.context_tokens, recipe.pretrain.step_tokens
        if limit and phase.rope:
            limit = max(limit, phase.context_tokens)
        elif limit and phase.context_tokens > limit:
            mend = 'give the phase a `rope`, such as { kind = "yarn" }, or a context of at most that'
            yield Problem(place, f"{phase.context_tokens} tokens, but the model has {limit} positions: {mend}")
    if recipe.sft:
        rows["sft", "context_tokens"] = recipe.sft.context_tokens, recipe.sft.step_tokens
    for stage in ("reward", "rl", "merge", "translate"):
        if getattr(recipe, stage):
            rows[stage, "max_completion_tokens"] = getattr(recipe, stage).max_completion_tokens, None
    for place, (tokens, step_tokens) in rows.items():
        if limit and tokens > limit and place[0] != "pretrain":
            yield Problem(place, f"{tokens} tokens, but the model has {limit} positions")
        if step_tokens and tokens > step_tokens:
            yield Problem(place, f"{tokens} tokens are more than {place[0]}.step_tokens, {step_tokens}")


def max_position_tokens(recipe: Recipe) -> int | None:
    """Positions of the recipe's model, or None where they aren't known before it is loaded."""
    section = recipe.pretrain
    if section.scratch:
        return section.scratch.max_position_tokens
    if is_hub_id(section.base):
        known = PUBLISHED.get(str(section.base))
        return known.max_position_tokens if known else None
    return read_config(Path(section.base)).get("max_position_embeddings")


def _instruct(recipe: Recipe) -> Iterator[Problem]:
    if not recipe.instruct:
        return
    for name in recipe.instruct.tasks:
        if name not in (known := (*TASKS, *MADE_TASKS)):
            yield Problem(("instruct", "tasks", name), f"unknown task; {did_you_mean(name, known)}")
    shares = recipe.instruct.difficulty_shares
    if min(shares) < 0 or not any(shares):
        message = f"expected shares of 0 or more, one of them above 0, got {list(shares)}"
        yield Problem(("instruct", "difficulty_shares"), message)


def _rl(recipe: Recipe) -> Iterator[Problem]:
    section = recipe.rl
    if not section:
        return
    for key, other in (("length_buffer_tokens", "max_completion_tokens"), ("keep_checkpoints", "num_batches")):
        value, most = getattr(section, key), getattr(section, other)
        if value > most:
            yield Problem(("rl", key), f"{value} is more than rl.{other}, {most}")
    if not section.directions:
        yield Problem(("rl", "directions"), "at least one direction is needed")
    languages = recipe.corpus.pair.split("-") if recipe.corpus else None
    for index, direction in enumerate(section.directions):
        if languages and not set(direction.split("-")) <= set(languages):
            known = _any_of([recipe.corpus.pair, "-".join(reversed(languages))])
            yield Problem(("rl", "directions", index), f"expected {known} (of corpus.pair), got {direction!r}")


def _merge(recipe: Recipe) -> Iterator[Problem]:
    if recipe.merge and recipe.rl and recipe.rl.keep_checkpoints < 2:
        yield Problem(("rl", "keep_checkpoints"), f"merge needs two or more, got {recipe.rl.keep_checkpoints}")


def _held_out(recipe: Recipe) -> Iterator[Problem]:
    """What a recipe asks for by name must be there; a default takes what there is."""
    wanted = (("rl", "num_dev", "num_dev"), ("merge", "num_dev", "num_dev"), ("translate", "num_segments", "num_test"))
    for stage, key, held_out in wanted:
        section = getattr(recipe, stage)
        if section and recipe.corpus and key in section.model_fields_set:
            number, there = getattr(section, key), getattr(recipe.corpus, held_out)
            if number > there:
                yield Problem((stage, key), f"{number} segments, but corpus.{held_out} holds out {there}")


def _pseudo_references(recipe: Recipe) -> Iterator[Problem]:
    """The models that sample the pseudo-references and translate back, and the plugin's Python, must be there."""
    section = recipe.translate
    if section is None:
        return
    named = section.pseudo_references
    if named == "base" and recipe.pretrain and not recipe.pretrain.base:
        yield Problem(("translate", "pseudo_references"), "the model is trained from scratch; there is no base")
    elif named not in ("candidates", "base") and getattr(recipe, named) is None:
        yield Problem(("translate", "pseudo_references"), f"the recipe has no [{named}] whose model could sample")
    if section.reconstruction_weight and recipe.sft is None:
        yield Problem(("translate", "reconstruction_weight"), "the recipe has no [sft] whose model translates back")
    if section.plugin_python and not section.plugin_python.exists():
        yield Problem(("translate", "plugin_python"), _not_there(section.plugin_python, "file"))


def _any_of(words: Sequence[str]) -> str:
    return " or ".join(map(repr, words))


CHECKS = (
    _files, _corpus, _streams, _scratch, _contexts, _instruct, instruct_checks.recipe_problems, _rl,
    rl_checks.recipe_problems, reward_checks.recipe_problems, _merge, _held_out, _pseudo_references,
)  # fmt: skip


def warnings(recipe: Recipe) -> list[str]:
    """What can be run, but is hardly meant."""
    found = []
    for phase in recipe.pretrain.phases if recipe.pretrain else ():
        step_tokens = recipe.pretrain.step_tokens
        if phase.tokens < step_tokens:
            found.append(f"pretrain: phase {phase.name!r} has {phase.tokens:,} tokens, a step {step_tokens:,}")
    if recipe.rl and recipe.instruct:
        drawn = recipe.rl.num_batches * recipe.rl.batch_completions // recipe.rl.group_size
        there = recipe.instruct.num_rl
        if drawn > there:
            found.append(f"rl: draws {drawn:,} prompts of instruct.num_rl = {there:,}, each {drawn / there:.1f} times")
    if long_prompts := rl_checks.long_prompts(recipe, max_position_tokens(recipe) if recipe.pretrain else None):
        found.append(f"rl: {long_prompts}")
    if recipe.rl and recipe.rl.end_temperature > recipe.rl.start_temperature:
        found.append("rl: end_temperature is above start_temperature; the method lowers it")
    return found
