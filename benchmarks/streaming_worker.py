"""Draw documents of a corpus at random and tokenise them; run by `benchmarks/streaming.py`, on each side."""

import threading
import time
from pathlib import Path

import numpy as np
from machine import serve


def _bytes(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


class Watch:
    """The most memory that is the process's own, looked at every few milliseconds, and with pages of files."""

    def __init__(self):
        self.start, self.most, self.done = _bytes("RssAnon"), 0, threading.Event()
        Path("/proc/self/clear_refs").write_text("5")
        self.start_all = _bytes("VmRSS")
        self.thread = threading.Thread(target=self._look)
        self.thread.start()

    def _look(self) -> None:
        while not self.done.wait(0.005):
            self.most = max(self.most, _bytes("RssAnon"))

    def end(self) -> dict[str, int]:
        self.done.set()
        self.thread.join()
        return {"own_bytes": self.most - self.start, "peak_bytes": _bytes("VmHWM") - self.start_all}


def ours(task: dict):
    from in2x.model.loading import end_of_text_id, load_tokenizer
    from in2x.training.phases import load_data
    from in2x.training.streams import tokenize
    from in2x.training.tables import read_table

    tokenizer = load_tokenizer(task["model"])
    yield
    data = load_data(Path(task["corpus"]), Path(task["folder"]) / "streams", 1)
    stream = tokenize(read_table(data.stream("ja")), tokenizer, end_of_text_id(tokenizer))
    yield
    for document in stream.walk(np.random.default_rng(1)):
        yield len(document.token_ids)


def datasets(task: dict):
    import datasets
    from transformers import AutoTokenizer

    datasets.disable_progress_bars()
    tokenizer = AutoTokenizer.from_pretrained(task["model"])
    yield
    file, cache = str(Path(task["corpus"]) / "text.parquet"), str(Path(task["folder"]) / "cache")
    shuffled = datasets.load_dataset("parquet", data_files=file, split="train", cache_dir=cache).shuffle(seed=1)
    yield
    for row in shuffled:
        yield len(tokenizer(row["text"], add_special_tokens=False)["input_ids"]) + 1


def in_memory(task: dict):
    import polars as pl
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(task["model"])
    yield
    texts = pl.read_parquet(Path(task["corpus"]) / "text.parquet")["text"]
    order = np.random.default_rng(1).permutation(len(texts))
    yield
    for row in order.tolist():
        yield len(tokenizer(texts[row], add_special_tokens=False)["input_ids"]) + 1


SIDES = {"ours": ours, "datasets": datasets, "in memory": in_memory}


def draw(task: dict) -> dict:
    steps = SIDES[task["side"]](task)
    next(steps)
    watch, begin = Watch(), time.perf_counter()
    next(steps)
    prepared, tokens = time.perf_counter(), 0
    while tokens < task["tokens"]:
        tokens += next(steps)
    end = time.perf_counter()
    return watch.end() | {"prepare_seconds": prepared - begin, "draw_seconds": end - prepared, "tokens": tokens}


if __name__ == "__main__":
    serve(draw)
