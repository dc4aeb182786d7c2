"""Early stop on held-out chrF2: measured every so many steps, the best model kept, an end when it gets no better.

The measurements are written to early_stop.json, so that a resumed run decides as it would have.
"""

from collections.abc import Sequence
from pathlib import Path

from in2x import distributed
from in2x.artifacts import In2xError, read_json, write_json
from in2x.decoding.generate import generate
from in2x.evaluation.retention import corpus_chrf
from in2x.instruct.prompts import translation_prompt
from in2x.model.prompts import chat_prompts, chat_stops


class EarlyStopping:
    """The measurements so far of the model in `loop`; `settings` is sections.sft.EarlyStop."""

    def __init__(self, settings, loop, tokenizer, data, folder: Path):
        if data.dev.is_empty():
            raise In2xError("sft.early_stop needs held-out pairs, and corpus.num_dev left none; raise it")
        self.settings, self.loop, self.tokenizer, self.file = settings, loop, tokenizer, folder / "early_stop.json"
        self.language = data.pair.split("-")[1]
        self.dev = data.dev.head(settings.num_segments)
        found = read_json(self.file) if self.file.exists() else []
        self.measured = [entry for entry in found if entry["step"] <= loop.step]

    def after_step(self) -> dict[str, float]:
        """Measure when it is time, and after the last step; returns {"dev_chrf": ...} then, or {}."""
        step = self.loop.step
        if step % self.settings.every_steps and step != self.loop.num_steps:
            return {}
        with self.loop.averaged() as model:
            hypotheses = chat_translations(
                model, self.tokenizer, self.dev["source"].to_list(), self.language, self.settings.max_completion_tokens
            )
        chrf = corpus_chrf(hypotheses, self.dev["target"].to_list())
        self.loop.keep_best("dev_chrf", chrf)
        self.measured.append({"step": step, "chrf": chrf})
        distributed.on_main(lambda: write_json(self.file, self.measured))
        return {"dev_chrf": chrf}

    def is_over(self) -> bool:
        """Whether `patience` measurements have passed since the best one."""
        values = [entry["chrf"] for entry in self.measured]
        return bool(values) and len(values) - 1 - values.index(max(values)) >= self.settings.patience

    def facts(self) -> dict:
        best = max(self.measured, key=lambda entry: entry["chrf"])
        return {"best_step": best["step"], "best_dev_chrf": best["chrf"], "stopped_early": self.is_over()}


def chat_translations(model, tokenizer, texts: Sequence[str], language: str, max_completion_tokens: int) -> list[str]:
    """Greedy translations into `language` ("ja"), asked for as in SFT."""
    prompts = chat_prompts(tokenizer, [translation_prompt(text, language) for text in texts])
    completions = generate(
        model, tokenizer, prompts, stop_ids=chat_stops(tokenizer), max_completion_tokens=max_completion_tokens
    )
    return [own.text for [own] in completions]
