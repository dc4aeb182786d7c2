"""The measures of pre-training of a model that is asked in chat turns: after SFT, RL and merging."""

from pathlib import Path

from in2x.decoding.translate import translate_greedy
from in2x.evaluation.retention import Sizes, measure
from in2x.sections.pretrain import Measures
from in2x.training.phases import DevSet, load_held_out, make_held_out

ROW_TOKENS = 256
"""Of a row of held-out text where a stage has no length of its own."""
MICRO_BATCH_TOKENS = 1024


def measures_in_chat(
    model, tokenizer, data: DevSet | Path, settings: Measures, seed: int,
    row_tokens: int = ROW_TOKENS, micro_batch_tokens: int = MICRO_BATCH_TOKENS,
) -> dict:  # fmt: skip
    """What in2x.evaluation.retention measures, translations being asked for as instructions; `data`: or its folder."""
    data = load_held_out(data) if isinstance(data, Path) else data
    sizes, most = Sizes(row_tokens, row_tokens, micro_batch_tokens), settings.max_completion_tokens

    def translate(texts, direction):
        return translate_greedy(model, tokenizer, texts, direction.split("-")[1], max_completion_tokens=most)

    return measure(model, tokenizer, make_held_out(data, tokenizer, seed), settings, sizes, translate)
