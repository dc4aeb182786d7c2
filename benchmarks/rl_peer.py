"""Take RL steps with TRL's GRPOTrainer; run by `benchmarks/rl_step.py` with the Python that has TRL.

Reads {"model", "prompts", "group_size", "completions", "mini_batch", "micro_batch", "max_completion_tokens", "warm_up",
"steps", "threads"} from standard input and writes JSON: seconds and processor seconds of the rollout batches after the
warm-up with all of their updates, completion tokens, and peak memory.
"""

import tempfile

import torch
from machine import Clock, distinct_share, peak_bytes, serve
from trl_common import PLAIN, versions


def train(task: dict) -> dict:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    clock, found, lengths = Clock(), {}, []
    updates = task["completions"] // task["mini_batch"]

    def reward(completion_ids, **columns):
        lengths.append([len(ids) for ids in completion_ids])
        return [distinct_share(ids, task["max_completion_tokens"]) for ids in completion_ids]

    class Watch(TrainerCallback):
        def on_train_begin(self, args, state, control, **kwargs):
            if task["warm_up"] == 0:
                clock.begin()

        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == task["warm_up"] * updates:  # never at 0
                lengths.clear()
                clock.begin()
            if state.global_step == (task["warm_up"] + task["steps"]) * updates:
                found.update(clock.end())

    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32)
    start_bytes = peak_bytes()
    accumulated = task["mini_batch"] // task["micro_batch"]
    with tempfile.TemporaryDirectory() as folder:
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=reward,
            processing_class=AutoTokenizer.from_pretrained(task["model"]),
            train_dataset=Dataset.from_list([{"prompt": prompt_of(text, task["chat"])} for text in task["prompts"]]),
            callbacks=[Watch()],
            args=GRPOConfig(
                output_dir=folder,
                max_steps=(task["warm_up"] + task["steps"]) * updates,
                per_device_train_batch_size=task["micro_batch"],
                gradient_accumulation_steps=accumulated,
                steps_per_generation=accumulated * updates,
                num_generations=task["group_size"],
                max_completion_length=task["max_completion_tokens"],
                temperature=1.0,
                beta=0.0,
                learning_rate=1e-6,
                **PLAIN,
            ),
        )
        trainer.train()
    tokens = [length for batch in lengths for length in batch]
    return found | {
        "completions": len(tokens),
        "completion_tokens": sum(tokens),
        "peak_bytes": peak_bytes(),
        "start_bytes": start_bytes,
        "versions": versions(),
    }


def prompt_of(text: str, chat: bool):
    return [{"role": "user", "content": text}] if chat else text


if __name__ == "__main__":
    serve(train)
