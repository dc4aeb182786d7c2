"""Train with TRL's SFTTrainer on given tokens; run by `benchmarks/sft.py` with the Python that has TRL.

Reads {"model", "documents", "packing", "micro_batch_rows", "micro_batches", "context_tokens", "warm_up", "steps",
"threads"} from standard input and writes JSON: seconds and processor seconds of the steps after the warm-up, and the
label tokens and peak memory.
"""

import tempfile

import torch
from machine import Clock, peak_bytes, serve
from trl_common import PLAIN, versions


def train(task: dict) -> dict:
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback, set_seed
    from trl import SFTConfig, SFTTrainer

    set_seed(0)
    clock, found, labels = Clock(), {}, []

    class Watch(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            if state.global_step == task["warm_up"]:
                labels.clear()
                clock.begin()
            if state.global_step == task["warm_up"] + task["steps"]:
                found.update(clock.end())

    class Counting(SFTTrainer):
        def compute_loss(self, model, inputs, **kwargs):
            labels.append(int((inputs["labels"] != -100).sum()))
            return super().compute_loss(model, inputs, **kwargs)

    model = AutoModelForCausalLM.from_pretrained(task["model"], dtype=torch.float32)
    start_bytes = peak_bytes()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Counting(
            model=model,
            processing_class=AutoTokenizer.from_pretrained(task["model"]),
            train_dataset=Dataset.from_list(task["documents"]),
            callbacks=[Watch()],
            args=SFTConfig(
                output_dir=folder,
                max_steps=task["warm_up"] + task["steps"],
                per_device_train_batch_size=task["micro_batch_rows"],
                gradient_accumulation_steps=task["micro_batches"],
                max_length=task["context_tokens"],
                packing=task["packing"],
                completion_only_loss=True,
                learning_rate=1e-4,
                **PLAIN,
            ),
        )
        trainer.train()
    memory = {"peak_bytes": peak_bytes(), "start_bytes": start_bytes}
    return found | memory | {"label_tokens": sum(labels), "versions": versions()}


if __name__ == "__main__":
    serve(train)
