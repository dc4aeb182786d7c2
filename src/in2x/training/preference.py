"""The reward stage: train the preference model of naturalness on natural against unnatural translations.

Writes naturalness/ (the model), pairs.parquet (what it was trained and tested on), and its accuracy on held-out pairs
by kind of rejected text, beside that of two rules that know nothing: the shorter and the longer text; its calibration;
and how far length explains it. With reward.lexicon_pairs also lexicon.parquet, for the reward's component coverage.

Hard negatives of the current policy: reward.sampling_model takes the samples from a checkpoint of RL, and
reward.continue_from goes on from a preference model.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import polars as pl
import torch

from in2x import distributed
from in2x.artifacts import In2xError, read_json, write_parquet
from in2x.decoding.generate import generate
from in2x.model.loading import load_model, load_tokenizer, on_device, save_model
from in2x.model.prompts import chat_prompts, chat_stops
from in2x.rewards import calibration, naturalness
from in2x.rewards.checks import PAIR_KINDS
from in2x.rewards.human_pairs import read_preferences
from in2x.sections import RewardSection
from in2x.training.loop import Loop
from in2x.training.metrics import progress_bar
from in2x.training.schedule import learning_rate


def run(section: RewardSection, folder: Path, inputs: Mapping[str, Path]) -> dict:
    torch.manual_seed(section.seed)
    tokenizer = load_tokenizer(inputs["sft"] / "model")
    pairs_file = folder / "pairs.parquet"
    direction = read_json(inputs["corpus"] / "manifest.json")["section"]["pair"]
    people = [read_preferences(path) for path in section.preference_files]
    if not pairs_file.exists():
        pairs = preference_pairs(
            section,
            direction,
            pl.read_parquet(inputs["instruct"] / "sft.parquet"),
            on_device(load_model(section.sampling_model or inputs["sft"] / "model")),
            tokenizer,
        )
        if people:
            pairs = pl.concat([pairs, *people]).sample(fraction=1.0, shuffle=True, seed=section.seed)
        write_parquet(pairs, pairs_file)
    pairs = pl.read_parquet(pairs_file)
    num_held_out = round(section.held_out_fraction * len(pairs))
    held_out, train = pairs.head(num_held_out), pairs.tail(len(pairs) - num_held_out)
    if min(len(held_out), len(train)) < 2:
        raise In2xError(f"reward: {len(pairs)} preference pairs are too few; raise reward.num_pairs")
    model = _start(section, inputs["sft"] / "model", tokenizer)
    model = _train(model, tokenizer, train, section, folder)
    if section.length_bias == "regress":
        texts = train["chosen"].unique(maintain_order=True).to_list()
        scores = naturalness.naturalness(model, tokenizer, texts)
        naturalness.correct_for_length(model, calibration.length_slope(scores, texts))
    save_model(model, tokenizer, folder / "naturalness")
    scores = [naturalness.naturalness(model, tokenizer, held_out[side].to_list()) for side in ("chosen", "rejected")]
    held_out = held_out.with_columns(margin=pl.Series(scores[0] - scores[1]))
    return {
        "num_pairs": len(pairs),
        "num_by_kind": dict(Counter(pairs["kind"].to_list())),
        "accuracy": _accuracies(held_out),
        "calibration": {
            "expected_error": calibration.expected_calibration_error(held_out["margin"].to_numpy()),
            "reliability": calibration.reliability(held_out["margin"].to_numpy()),
        },
        "length": _length_bias(model, held_out, scores[0]),
        "examples": held_out.head(12).to_dicts(),
    } | _lexicon(section, direction, inputs["corpus"], folder)


def preference_pairs(
    section: RewardSection, direction: str, instructions: pl.DataFrame, model, tokenizer
) -> pl.DataFrame:
    """Preference pairs in `direction`, which is into the target language, in random order.

    Columns: source, chosen, rejected, kind (one of PAIR_KINDS).

    The prompts are translations into the target language that the supervised model was trained on, so that RL's
    prompts stay unseen. A sample that equals the reference is no pair and is left out; where a rule finds no room in a
    text, the sample takes its place.
    """
    _check_kinds(section, direction)
    prompts = instructions.filter(task="translate", direction=direction).unique("id", maintain_order=True)
    prompts = prompts.sample(min(section.num_pairs, len(prompts)), seed=section.seed, shuffle=True)
    with progress_bar("reward/samples", len(prompts)) as bar:
        completions = generate(
            model,
            tokenizer,
            chat_prompts(tokenizer, prompts["prompt"]),
            stop_ids=chat_stops(tokenizer),
            max_completion_tokens=section.max_completion_tokens,
            seed=section.seed,
            temperature=section.sampling_temperature,
            advance=bar.advance,
        )
    rng = np.random.default_rng(section.seed)
    kinds, pool, rows = kinds_in_turn(section.pair_kinds), prompts["response"].to_list(), []
    for source, reference, (completion,) in zip(prompts["source"], prompts["response"], completions, strict=True):
        kind = next(kinds)
        chosen, rejected = reference, completion.text
        if kind == "shuffled":
            rejected = naturalness.shuffled_phrases(reference, rng)
        elif kind != "sampled":
            made = _made_by_rule(kind, reference, source, pool, rng)
            kind, (chosen, rejected) = (kind, made) if made else ("sampled", (reference, completion.text))
        if rejected and rejected != chosen:
            rows.append((source, chosen, rejected, kind))
    return pl.DataFrame(rows, schema=["source", "chosen", "rejected", "kind"], orient="row")


def kinds_in_turn(shares: Mapping[str, float]) -> Iterator[str]:
    """Kinds without end, each as often as its share, evenly spread: the one that is due earliest, the rarest first.

    Example: {"shuffled": 0.25, "sampled": 0.75} is shuffled, sampled, sampled, sampled, shuffled, ...
    """
    total = sum(shares.values())
    given = {kind: share / total for kind, share in shares.items() if share > 0}
    counts = dict.fromkeys(given, 0)
    while True:
        kind = min(given, key=lambda name: (round(counts[name] / given[name], 9), given[name]))
        counts[kind] += 1
        yield kind


def _made_by_rule(kind: str, reference: str, source: str, pool, rng) -> tuple[str, str] | None:
    from in2x.rewards.unnatural import RULES

    return RULES[kind](reference, source, pool, rng)


def _check_kinds(section: RewardSection, direction: str) -> None:
    unknown = [kind for kind in section.pair_kinds if kind not in PAIR_KINDS]
    if unknown:
        raise In2xError(f"reward.pair_kinds: unknown kind {unknown[0]!r}; there are {', '.join(PAIR_KINDS)}")
    if not any(section.pair_kinds.values()):
        raise In2xError("reward.pair_kinds: expected a share above 0")
    ruled = [kind for kind, share in section.pair_kinds.items() if share and kind not in ("sampled", "shuffled")]
    if ruled and not direction.endswith("-ja"):
        raise In2xError(f"reward.pair_kinds: {ruled[0]} is made of Japanese, and corpus.pair is {direction}")


def _start(section: RewardSection, supervised: Path, tokenizer):
    """The model that training begins with; one to continue from must have the run's vocabulary."""
    if section.continue_from is None:
        model = naturalness.load(supervised, from_language_model=True)
    else:
        model = naturalness.load(section.continue_from)
        if model.config.vocab_size != len(tokenizer):
            raise In2xError(
                f"reward.continue_from: {section.continue_from} has a vocabulary of {model.config.vocab_size:,}, this "
                f"run's has {len(tokenizer):,}; continue from a preference model of the same base"
            )
        naturalness.correct_for_length(model, 0.0)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def _lexicon(section: RewardSection, direction: str, corpus: Path, folder: Path) -> dict:
    """Train the alignment lexicon where one is asked for."""
    if not section.lexicon_pairs:
        return {}
    from in2x.rewards.alignment import train_lexicon

    pairs = pl.read_parquet(corpus / "pairs.parquet", columns=["split", "source", "target"]).filter(split="train")
    pairs = pairs.sample(min(section.lexicon_pairs, len(pairs)), seed=section.seed)
    with progress_bar("reward/lexicon", 10) as bar:
        lexicon = train_lexicon(
            pairs["source"].to_list(), pairs["target"].to_list(), *direction.split("-"), advance=bar.advance
        )
    distributed.on_main(lambda: lexicon.save(folder / "lexicon.parquet"))
    return {"lexicon": {"num_pairs": len(pairs), "num_entries": sum(map(len, lexicon.probabilities.values()))}}


def _length_bias(model, held_out: pl.DataFrame, chosen_scores: np.ndarray) -> dict[str, float | int]:
    """What length explains: correlations of score and margin with it, accuracy where the lengths are alike."""
    chosen, rejected = held_out["chosen"].to_list(), held_out["rejected"].to_list()
    margins = held_out["margin"].to_numpy()
    logs = calibration.log_lengths(chosen)
    matched = calibration.length_matched(chosen, rejected)
    found = {
        "score_correlation": calibration.length_correlation(chosen_scores, logs),
        "margin_correlation": calibration.length_correlation(margins, logs - calibration.log_lengths(rejected)),
        "matched_accuracy": float((margins[matched] > 0).mean()) if matched.any() else float("nan"),
        "num_matched": int(matched.sum()),
        "slope_removed": naturalness.length_correction(model),
    }
    return {name: value for name, value in found.items() if value == value}


def _train(model, tokenizer, pairs: pl.DataFrame, section: RewardSection, folder: Path):
    batches = [
        order[start : start + section.step_pairs]
        for epoch in range(section.num_epochs)
        for order in [np.random.default_rng([section.seed, epoch]).permutation(len(pairs))]
        for start in range(0, len(pairs), section.step_pairs)
    ]
    loop = Loop(
        model,
        section,
        learning_rate(section, len(batches)),
        len(batches),
        folder,
    )
    started, done = time.monotonic(), loop.step
    with loop.signals(), progress_bar("reward", len(batches), loop.step) as bar:
        for rows in batches[loop.step :]:
            batch = pairs[rows]
            encoded = naturalness.encode(tokenizer, batch["chosen"].to_list() + batch["rejected"].to_list())
            measured = loop.optimizer_step(
                [encoded | {"num_pairs": len(batch)}],
                naturalness.bradley_terry_loss,
                ids=lambda batch=batch: batch["source"].to_list(),
            )
            rate = (loop.step - done) * section.step_pairs / (time.monotonic() - started)
            bar.advance(note=f"loss {measured['loss']:.3f}  {rate:,.0f} pairs/s")
            loop.after_step(pairs_per_second=rate, **measured)
    return loop.model


def _accuracies(pairs: pl.DataFrame) -> dict[str, float]:
    """Share of held-out pairs whose chosen text scores higher: all, by kind, and for the rules that know nothing."""
    lengths = pairs["chosen"].str.len_chars().cast(pl.Int64) - pairs["rejected"].str.len_chars().cast(pl.Int64)
    by_kind = {
        f"held_out_{kind}": float((rows["margin"] > 0).mean())
        for (kind,), rows in pairs.group_by("kind", maintain_order=True)
    }
    return (
        {"held_out": float((pairs["margin"] > 0).mean())}
        | by_kind
        | {
            "always_the_shorter": float((lengths < 0).mean()),
            "always_the_longer": float((lengths > 0).mean()),
        }
    )
