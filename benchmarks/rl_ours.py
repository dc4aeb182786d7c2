"""Take RL steps with this project's generator, loss and loop; run by `benchmarks/rl_step.py`, as its peer is."""

import contextlib
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from machine import Clock, distinct_share, peak_bytes, serve

PHASES = ("prefill", "decode", "reward", "old log-probs", "forward", "backward", "optimizer")


class Stopwatch:
    """Seconds by phase; what runs inside of another phase is taken from that one."""

    def __init__(self):
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.open: list[list] = []

    @contextlib.contextmanager
    def phase(self, name: str):
        start = time.perf_counter()
        self.open.append([0.0])
        try:
            yield
        finally:
            took, (inner,) = time.perf_counter() - start, self.open.pop()
            self.seconds[name] += took - inner
            if self.open:
                self.open[-1][0] += took

    def timed(self, name: str, function):
        def wrapped(*arguments, **named):
            with self.phase(name):
                return function(*arguments, **named)

        return wrapped


def train(task: dict) -> dict:
    from in2x.decoding.decoder import GroupDecoder
    from in2x.model.loading import load_tokenizer
    from in2x.model.prompts import chat_prompts
    from in2x.rl import algorithms, rollouts  # noqa: F401
    from in2x.sections import Optimizer, Training
    from in2x.training.loop import Loop

    # in2x.rl is imported above so that what it brings along isn't taken for memory of a step
    torch.manual_seed(0)
    watch, clock = Stopwatch(), Clock()
    GroupDecoder.start = watch.timed("prefill", GroupDecoder.start)
    tokenizer, model = load_tokenizer(task["model"]), model_of(task)
    texts = task["prompts"]
    start_bytes = peak_bytes()
    prompts = chat_prompts(tokenizer, texts) if task["chat"] else [tokenizer(text)["input_ids"] for text in texts]
    settings = Training(
        optimizer=Optimizer(name="adamw"), dtype="float32", micro_batch_tokens=task["micro_batch_tokens"]
    )
    number = task["warm_up"] + task["steps"]
    per_batch = task["completions"] // task["group_size"]
    tokens = 0
    with tempfile.TemporaryDirectory() as folder:
        updates = number * task["completions"] // task["mini_batch"]
        loop = Loop(model, settings, lambda step: 1e-6, updates, Path(folder))
        loop.optimizer.step = watch.timed("optimizer", loop.optimizer.step)
        for batch in range(number):
            if batch == task["warm_up"]:
                watch.seconds, tokens = dict.fromkeys(PHASES, 0.0), 0
                clock.begin()
            chosen = [prompts[(batch * per_batch + place) % len(prompts)] for place in range(per_batch)]
            tokens += rl_step(task, loop, tokenizer, chosen, watch, batch)
        found = clock.end()
        loop.log.close()
    return found | {
        "completions": task["steps"] * task["completions"],
        "completion_tokens": tokens,
        "peak_bytes": peak_bytes(),
        "start_bytes": start_bytes,
        "phases": watch.seconds,
    }


def model_of(task: dict):
    """The folder's model, or one of random weights with the vocabulary that the task asks for."""
    from in2x.model.loading import load_model

    model = load_model(task["model"])
    if task.get("vocabulary"):
        model.resize_token_embeddings(task["vocabulary"], mean_resizing=False)
    return model


def rl_step(task: dict, loop, tokenizer, prompts: list[list[int]], watch: Stopwatch, batch: int) -> int:
    """One rollout batch and its updates; returns the completion tokens."""
    from in2x.decoding.generate import generate
    from in2x.rewards.groups import Group
    from in2x.rl.advantages import group_standardised
    from in2x.rl.algorithms import ALGORITHMS
    from in2x.rl.rollouts import collate, loss_batches, policy_loss

    with watch.phase("decode"):
        completions = generate(
            loop.model,
            tokenizer,
            prompts,
            stop_ids={tokenizer.eos_token_id} if task["stops"] else set(),
            num_samples=task["group_size"],
            temperature=1.0,
            max_completion_tokens=task["max_completion_tokens"],
            seed=batch,
        )
    with watch.phase("reward"):
        rewards_PG = torch.tensor(
            [[distinct_share(c.token_ids, task["max_completion_tokens"]) for c in group] for group in completions]
        )
        advantages_PG = group_standardised(rewards_PG).numpy()
        groups = [
            Group(str(p), ids, "", "", "ja", group)
            for p, (ids, group) in enumerate(zip(prompts, completions, strict=True))
        ]
    micro = task["micro_batch_tokens"]
    with watch.phase("old log-probs"):
        trained = np.ones(len(groups), bool)
        rollouts = collate(
            groups,
            advantages_PG,
            trained,
            loop.model,
            tokenizer.pad_token_id,
            1.0,
            micro,
            share_prompts=True,
            old_from_sampler=task.get("old_logprobs") == "sampler",
        )
    algorithm = ALGORITHMS[task["algorithm"]]
    loss = watch.timed("forward", policy_loss(algorithm, algorithm.settings()))
    parts = rollouts.mini_batches(task["completions"] // task["mini_batch"], np.random.default_rng(batch))
    for rows in parts:
        with watch.phase("backward"):
            loop.optimizer_step(loss_batches(rollouts, rows, micro, task["max_completion_tokens"]), loss)
    loop.after_step()
    return sum(len(completion.token_ids) for group in completions for completion in group)


if __name__ == "__main__":
    serve(train)
