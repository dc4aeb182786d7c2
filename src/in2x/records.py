"""The tables that pass between stages: their columns, in one place. Records hold data, never logic.

Every table is a parquet file in a stage's folder. `pair` is written "en-ja": the hub language, then the target.

PAIRS (corpus/pairs.parquet), one translation pair a row:
    id "tatoeba:4704", group 1207, split "train" | "dev" | "test", domain "conversational", origin "tatoeba",
    source "What are you doing?", target "何してるの？"
REJECTED (corpus/rejected.parquet): a row that was kept aside, with the reason.
INSTRUCTIONS (instruct/sft.parquet, instruct/rl.parquet), one prompt a row:
    id "tatoeba:4704/translate/en-ja", epoch 0, task "translate", direction "en-ja", difficulty "simple",
    prompt "Translate into Japanese:\\nWhat are you doing?", response "何してるの？", source, reference, group.
    Made of several pairs: id "tatoeba:4704+tatoeba:4710/paragraph/en-ja", and the group of the first. A paraphrase's
    direction is "ja-ja". No group that a row of sft.parquet is made of is in rl.parquet.
HYPOTHESES (translate/hypotheses.parquet), one translation a row:
    system "sft", decoding "greedy", segment_id "tatoeba:4704", source, reference, hypothesis, num_tokens, finished
"""

from dataclasses import dataclass

PAIRS = ("id", "group", "split", "domain", "origin", "source", "target")
REJECTED = ("id", "origin", "source", "target", "reason")
INSTRUCTIONS = (
    "id", "epoch", "task", "direction", "difficulty", "prompt", "response", "source", "reference", "group",
)  # fmt: skip
HYPOTHESES = (
    "system", "decoding", "segment_id", "source", "reference", "hypothesis", "num_tokens", "finished",
)  # fmt: skip


@dataclass(frozen=True)
class Completion:
    """One sampled continuation of a prompt.

    token_ids: the completion, with the end token where `finished`; sampling_logprobs: of those tokens, in nats,
    as reported by the generator at its temperature; text: decoded, without special tokens.
    """

    token_ids: list[int]
    sampling_logprobs: list[float]
    text: str
    finished: bool
