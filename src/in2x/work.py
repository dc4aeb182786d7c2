"""What each stage does, in words and in tokens. Without torch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from in2x.recipe import Recipe

SENTENCE_TOKENS = 13
"""Assumed of a sentence in either language."""
INSTRUCTION_TOKENS = 3 * SENTENCE_TOKENS


@dataclass(frozen=True)
class Work:
    """What a stage does.

    row_tokens: of the rows that are trained, on the average; num_rows: completions that are made at a time, where they
    are few; num_trainers: devices that training can use, where it is not all of them; samples_elsewhere: a server
    generates, on a machine of its own.
    """

    what: str
    trained_tokens: float = 0
    read_tokens: float = 0
    generated_tokens: float = 0
    row_tokens: float = 0
    num_rows: float = float("inf")
    num_trainers: int | None = None
    samples_elsewhere: bool = False


# --- what each stage does -------------------------------------------------------------------------------------


def _corpus(recipe: Recipe, manifest: Mapping | None) -> Work:
    if manifest:
        numbers = ", ".join(f"{number:,} {split}" for split, number in manifest["results"].get("num_pairs", {}).items())
        return Work(f"pairs: {numbers}")
    section = recipe.corpus
    sources = ", ".join(source.name for source in section.sources)
    return Work(f"{sources}; {section.num_dev:,} dev, {section.num_test:,} test")


def _pretrain(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.pretrain
    tokens = sum(phase.tokens for phase in section.phases)
    steps = sum(max(1, phase.tokens // section.step_tokens) for phase in section.phases)
    chosen = sum(phase.select.pool_documents * len(phase.mixture) for phase in section.phases if phase.select)
    what = f"{tokens:,} tokens, {_number(steps, 'step')}, {_number(len(section.phases), 'phase')}"
    return Work(what, trained_tokens=tokens, read_tokens=2 * SENTENCE_TOKENS * chosen,
                row_tokens=sum(phase.tokens * phase.context_tokens for phase in section.phases) / tokens)  # fmt: skip


def _instruct(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.instruct
    return Work(f"{section.num_epochs} x {section.num_sft:,} for SFT, {section.num_rl:,} for RL")


def _sft(recipe: Recipe, manifest: Mapping | None) -> Work:
    number = recipe.instruct.num_sft * recipe.instruct.num_epochs
    tokens = number * INSTRUCTION_TOKENS
    steps = max(1, tokens // recipe.sft.step_tokens)
    return Work(f"{number:,} instructions, about {_number(steps, 'step')}", trained_tokens=tokens,
                row_tokens=recipe.sft.context_tokens)  # fmt: skip


def _reward(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.reward
    tokens = section.num_pairs * section.num_epochs * 4 * SENTENCE_TOKENS
    steps = max(1, section.num_pairs * section.num_epochs // section.step_pairs)
    return Work(f"{section.num_pairs:,} pairs, about {_number(steps, 'step')}", trained_tokens=tokens,
                generated_tokens=section.num_pairs * SENTENCE_TOKENS, row_tokens=SENTENCE_TOKENS,
                num_trainers=1)  # fmt: skip


def _rl(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.rl
    rollouts = section.num_batches * section.batch_completions
    steps = rollouts // section.mini_batch_completions
    num_dev = section.num_dev * (section.num_batches // section.dev_every_batches) if section.dev_every_batches else 0
    prompt = (INSTRUCTION_TOKENS - SENTENCE_TOKENS) / (section.group_size if section.share_prompts is not False else 1)
    tokens = rollouts * (prompt + SENTENCE_TOKENS)
    return Work(f"{rollouts:,} rollouts, {_number(steps, 'step')}", trained_tokens=tokens, read_tokens=2 * tokens,
                generated_tokens=(rollouts + num_dev) * SENTENCE_TOKENS,
                row_tokens=INSTRUCTION_TOKENS, num_rows=section.batch_completions,
                samples_elsewhere=section.generator.kind == "vllm-server")  # fmt: skip


def _merge(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.merge
    number = {"linear": 2 * len(section.weights), "obim": len(section.densities)}
    candidates = sum(number[method] for method in section.methods)
    return Work(f"{candidates} candidates on {section.num_dev:,} dev segments",
                trained_tokens=section.num_saliency_segments * INSTRUCTION_TOKENS * ("obim" in section.methods),
                generated_tokens=(candidates + 1) * section.num_dev * SENTENCE_TOKENS)  # fmt: skip


def _translate(recipe: Recipe, manifest: Mapping | None) -> Work:
    section = recipe.translate
    systems = len(recipe.pretrain.phases) + sum(getattr(recipe, name) is not None for name in ("sft", "rl", "merge"))
    number = section.num_segments * (systems + section.num_candidates)
    return Work(f"{section.num_segments:,} segments by {_number(systems, 'system')}; "
                f"{section.num_candidates} samples each of the last",
                generated_tokens=number * SENTENCE_TOKENS)  # fmt: skip


def _evaluate(recipe: Recipe, manifest: Mapping | None) -> Work:
    return Work(f"{recipe.evaluate.num_resamples:,} resamples")


def _report(recipe: Recipe, manifest: Mapping | None) -> Work:
    return Work("one page of HTML")


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


WORK: dict[str, Callable[[Recipe, Mapping | None], Work]] = {
    "corpus": _corpus, "pretrain": _pretrain, "instruct": _instruct, "sft": _sft, "reward": _reward, "rl": _rl,
    "merge": _merge, "translate": _translate, "evaluate": _evaluate, "report": _report,
}  # fmt: skip
