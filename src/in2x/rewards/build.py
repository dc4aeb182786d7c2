"""The reward that a recipe's rl section describes: its models, servers and lexicon, as far as its weights need them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from in2x.artifacts import In2xError, read_json
from in2x.rewards.components import COMPONENTS, Resources
from in2x.rewards.compose import Cap
from in2x.rewards.length import LengthRatios, fit_length_ratios
from in2x.rewards.translation import TranslationReward

NUM_CENTRE_PAIRS = 500
NUM_RATIO_PAIRS = 20_000


def build_reward(section, tokenizer, inputs: Mapping[str, Path]) -> TranslationReward:
    """The reward of an `RlSection`; `inputs` are the folders of the stages corpus, sft and reward.

    Raises:
        In2xError: an unknown component, or one whose model, server or lexicon is missing.
    """
    weights = [section.reward_weights, *section.reward_task_weights.values()]
    needs = {need for own in weights for name, weight in own.items() if weight for need in _needs(name)}
    relative = any(own.get("relative_length") for own in weights) and section.reward_expected_length == "source"
    resources = Resources(
        chrf_beta=section.chrf_beta,
        max_tokens=section.max_completion_tokens,
        buffer_tokens=section.length_buffer_tokens,
        preference=_preference(section, inputs["reward"] / "naturalness", tokenizer) if "preference" in needs else None,
        embedder=_embedder(section, inputs["corpus"]) if "embedder" in needs else None,
        lexicon=_lexicon(inputs["reward"] / "lexicon.parquet") if "lexicon" in needs else None,
        reconstructor=_reconstructor(inputs["sft"] / "model") if "reconstructor" in needs else None,
        length_ratios=length_ratios(inputs["corpus"]) if relative else None,
        expect_from=section.reward_expected_length,
        judge=_judge(section) if "judge" in needs else None,
        estimator=_estimator(section) if "estimator" in needs else None,
    )
    return TranslationReward(
        section.reward_weights,
        resources=resources,
        task_weights=section.reward_task_weights,
        cap=_cap(section),
        max_unscorable_fraction=section.reward_max_unscorable_fraction,
        with_spans=section.span_credit > 0,
        guards=section.reward_guards,
    )


def length_ratios(corpus: Path) -> LengthRatios:
    """Expected lengths, fitted to the training pairs of a corpus stage."""
    pairs = _pairs(corpus, NUM_RATIO_PAIRS)
    return fit_length_ratios(pairs.select("source", "target").iter_rows(), *_languages(corpus))


def _needs(name: str) -> tuple[str, ...]:
    if name not in COMPONENTS:
        raise In2xError(f"rl.reward_weights: unknown component {name!r}; there are {', '.join(COMPONENTS)}")
    return COMPONENTS[name].needs


def _cap(section) -> Cap | None:
    if section.reward_cap_quantile is None and section.reward_cap_floor is None:
        return None
    return Cap(
        section.reward_cap_by,
        section.reward_cap_components,
        section.reward_cap_quantile,
        section.reward_cap_floor,
        section.reward_cap_width,
    )


def _preference(section, folder: Path, tokenizer) -> tuple:
    import torch

    from in2x.model.loading import on_device
    from in2x.model.precision import training_dtype
    from in2x.rewards import naturalness

    model = on_device(naturalness.load(folder))
    dtype = training_dtype(section.reward_preference_dtype, model.device.type)
    return model.to(getattr(torch, dtype)), tokenizer


def _embedder(section, corpus: Path):
    from in2x.rewards.embedding import load_embedder

    if section.reward_embedding_model is None:
        return None
    pairs = _pairs(corpus, NUM_CENTRE_PAIRS)
    forward = section.directions[0].split("-")[0] == _languages(corpus)[0]
    sides = ("source", "target") if forward else ("target", "source")
    return load_embedder(section.reward_embedding_model, *(pairs[side].to_list() for side in sides))


def _lexicon(path: Path):
    from in2x.rewards.alignment import load_lexicon

    return load_lexicon(path)


def _reconstructor(model: Path):
    from in2x.evaluation.reconstruction import load_reconstructor

    return load_reconstructor(model)


def _judge(section):
    from in2x.judging.cache import AnswerCache, default_path
    from in2x.judging.client import JudgeClient, read_api_key
    from in2x.judging.transport import Server, endpoint_url
    from in2x.rewards.remote import RubricJudge

    if not (section.reward_judge_url and section.reward_judge_model):
        return None
    key = read_api_key(section.reward_judge_key_variable) if section.reward_judge_key_variable else None
    server = Server(endpoint_url(section.reward_judge_url), key, section.reward_judge_timeout_seconds)
    client = JudgeClient(
        server, section.reward_judge_model, AnswerCache(default_path()), section.reward_judge_concurrency
    )
    return RubricJudge(client, section.reward_judge_groupwise)


def _estimator(section):
    from in2x.rewards.remote import QualityEstimator

    if section.reward_estimator is None:
        return None
    if section.reward_estimator_python is None or not section.reward_estimator_model:
        raise In2xError(
            "rl.reward_estimator needs rl.reward_estimator_python, the Python of the metric's own environment, and "
            "rl.reward_estimator_model, its weights"
        )
    return QualityEstimator(
        str(section.reward_estimator),
        section.reward_estimator_python,
        section.reward_estimator_model,
        sign=float(section.reward_estimator_sign),
    )


def _pairs(corpus: Path, number: int) -> pl.DataFrame:
    train = pl.read_parquet(corpus / "pairs.parquet", columns=["split", "source", "target"]).filter(split="train")
    return train.sample(min(number, len(train)), seed=0)


def _languages(corpus: Path) -> tuple[str, str]:
    source, target = read_json(corpus / "manifest.json")["section"]["pair"].split("-")
    return source, target
