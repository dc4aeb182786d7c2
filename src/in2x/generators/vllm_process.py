"""vLLM in this process, on the accelerator (or CPU) that the trainer uses too; the weights go through a folder."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from in2x import distributed
from in2x.artifacts import In2xError
from in2x.generators.agreement import refuse_disagreement
from in2x.generators.weights import WeightsFolder
from in2x.records import Completion

NO_VLLM = (
    'rl.generator.kind = "vllm": the package vllm can\'t be imported ({error}). Install it beside in2x '
    '(pip install "in2x[vllm]"), or run it as a server and take kind = "vllm-server"'
)


class VllmGenerator:
    """A generator (in2x.generators.Generator); the engine is started at the first call, with the policy's weights."""

    def __init__(self, section, folder: Path):
        if distributed.world_size() > 1:
            raise In2xError(
                'rl.generator.kind = "vllm" is for a run of one process; several share a server: "vllm-server"'
            )
        try:
            import vllm
        except ImportError as error:
            raise In2xError(NO_VLLM.format(error=error)) from error
        self.vllm, self.section, self.engine = vllm, section, None
        self.weights = WeightsFolder(folder)

    def __call__(
        self, model, tokenizer, prompt_ids, *, stop_ids, max_completion_tokens, num_samples, temperature, seed, keys
    ) -> list[list[Completion]]:
        first = self.engine is None
        self._synchronise(model, tokenizer)
        options = sampling_options(stop_ids, tokenizer, max_completion_tokens, temperature)
        outputs = self.engine.generate(
            [{"prompt_token_ids": ids} for ids in prompt_ids],
            [
                self.vllm.SamplingParams(
                    n=num_samples,
                    seed=request_seed(seed, key, 0) if self.section.seeded else None,
                    detokenize=False,
                    **options,
                )
                for key in keys
            ],
            use_tqdm=False,
        )
        groups = [
            [as_completion(tokenizer, c.token_ids, _chosen(c), stop_ids) for c in output.outputs] for output in outputs
        ]
        if first:
            refuse_disagreement(model, prompt_ids[0], groups[0], temperature, "vLLM")
        return groups

    def _synchronise(self, model, tokenizer) -> None:
        path = self.weights.write_if_changed(model, tokenizer)
        if path is None:
            return
        if self.engine is None:
            self.engine = self.vllm.LLM(
                model=str(path),
                dtype=self.section.dtype,
                max_model_len=self.section.max_context_tokens,
                gpu_memory_utilization=self.section.gpu_memory_fraction,
                logprobs_mode="processed_logprobs",
                load_format="safetensors",
                enforce_eager=self.section.eager,
            )
        else:
            self.engine.collective_rpc("reload_weights", kwargs={"weights_path": str(path)})
            self.engine.reset_prefix_cache()
        self.weights.remove_others(path)


def sampling_options(stop_ids: set[int], tokenizer, max_tokens: int, temperature: float) -> dict:
    """What vLLM is asked, in process and over HTTP: plain sampling, whatever the model's folder has for defaults."""
    return {
        "temperature": temperature,
        "max_tokens": max_tokens,
        "stop_token_ids": sorted(stop_ids),
        "ignore_eos": tokenizer.eos_token_id not in stop_ids,
        "logprobs": 0,  # of the sampled token alone
        "top_p": 1.0,
        "top_k": 0,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "skip_special_tokens": False,
    }


def request_seed(seed: int, key: int, part: int) -> int:
    """A seed of 63 bits from the run's seed, the prompt's key and the part of its group that a request is for."""
    return int(np.random.SeedSequence([seed, key, part]).generate_state(1, np.uint64)[0] >> np.uint64(1))


def as_completion(tokenizer, token_ids: Sequence[int], logprobs: Sequence[float], stop_ids: set[int]) -> Completion:
    finished = token_ids[-1] in stop_ids
    text = tokenizer.decode(token_ids[:-1] if finished else token_ids, skip_special_tokens=False).strip()
    return Completion(list(token_ids), list(logprobs), text, finished)


def _chosen(output) -> list[float]:
    return [at[token].logprob for token, at in zip(output.token_ids, output.logprobs, strict=True)]
