"""Early stop on held-out chrF2: measured every so many steps, the best model kept, an end when it gets no better.

The measurements are written to early_stop.json, so that a resumed run decides as it would have.
"""

from pathlib import Path

from in2x import distributed
from in2x.artifacts import In2xError, read_json, write_json
from in2x.decoding.translate import translate_greedy
from in2x.evaluation.metrics import chrf_value


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
            hypotheses = translate_greedy(
                model, self.tokenizer, self.dev["source"].to_list(), self.language,
                max_completion_tokens=self.settings.max_completion_tokens,
            )  # fmt: skip
        chrf = chrf_value(hypotheses, self.dev["target"].to_list())
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
