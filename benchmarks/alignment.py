"""What each bilingual objective buys: from one base, the same tokens, with and without it, over several seeds.

    python benchmarks/alignment.py --corpus=runs/tiny/corpus          about 10 minutes on two quiet CPU cores
    python benchmarks/alignment.py --arms=pairs,contrastive --seeds=2 --tokens=20_000
    python benchmarks/alignment.py --out=results.json --most=4          in pieces: goes on where --out ends

Needs a complete corpus stage (`in2x corpus recipes/tiny.toml`) and a base (models/base-tiny). Every arm trains on
--tokens tokens, of which half are text of the two languages; what differs is the other half. Printed for each arm:
the mean over seeds and, beside it, the mean difference to the arm "pairs" of the same seed with a 95 % t-interval.

- retrieval: precision at 1 of a held-out segment's translation by mean-pooled hidden states, mean over both directions,
  at the layer where the mean over all arms is best.
- chrF2: held-out translations asked for as pairs are trained (a line, then its translation).
- round trip: chrF2 of a text against its translation, translated back.
- en, ja: perplexity on held-out text of one language; lower is better.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from machine import report
from scipy.stats import t as student

from in2x.artifacts import write_json
from in2x.sections import PretrainSection
from in2x.stages import silence_transformers
from in2x.training import pretrain

MONOLINGUAL = {"en": 0.25, "ja": 0.25}
CONTRASTIVE = {"coefficient": 0.1, "temperature": 0.05, "num_pairs": 32}
ARMS: Mapping[str, dict] = {
    "monolingual": {"mixture": {"en": 0.5, "ja": 0.5}},
    "pairs": {"mixture": MONOLINGUAL | {"pairs": 0.5}},
    "documents": {"mixture": MONOLINGUAL | {"pairs": 0.25, "documents": 0.25}},
    "switched": {"mixture": MONOLINGUAL | {"pairs": 0.25, "switched": 0.25}},
    "styled": {"mixture": MONOLINGUAL | {"pairs": 0.25, "styled": 0.25}},
    "contrastive": {"mixture": MONOLINGUAL | {"pairs": 0.5}, "contrastive": CONTRASTIVE},
}
BASELINE = "pairs"
MEASURES = {
    "by_domain": False, "few_shot_examples": [0], "few_shot_segments": 200, "round_trip_segments": 200,
    "retrieval_segments": 400,
}  # fmt: skip


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    silence_transformers()
    settings = {"tokens": arguments.tokens, "base": str(arguments.base), "dtype": arguments.dtype}
    results = _earlier(arguments.out, settings)
    wanted = [(arm, seed) for seed in range(1, arguments.seeds + 1) for arm in arguments.arms]
    missing = [(arm, seed) for arm, seed in wanted if len(results.get(arm, ())) < seed]
    for arm, seed in missing[: arguments.most]:
        start = time.monotonic()
        found = trained(arm, seed, arguments, results.get("base", [None])[0])
        results.setdefault("base", [found["base"]])
        results.setdefault(arm, []).append(found["after"])
        print(f"{arm}, seed {seed}: {time.monotonic() - start:.0f} s", flush=True)
        if arguments.out:
            report(arguments.out, {"settings": settings, "results": results})
    if len(missing) <= (arguments.most or len(missing)):
        print(table(results))


def _earlier(out: Path | None, settings: dict) -> dict[str, list[dict]]:
    """What `out` has from earlier calls: by arm, a list with the measures of seed 1, 2, ..."""
    if not (out and out.exists()):
        return {}
    found = json.loads(out.read_text(encoding="utf-8"))
    if found["settings"] != settings:
        raise SystemExit(f"{out} is of other settings: {found['settings']}; give another file")
    return found["results"]


def trained(arm: str, seed: int, arguments, base: Mapping | None) -> dict[str, dict]:
    """The measures of the base, unless they are known already, and of the model after training."""
    phase = {"name": "one", "tokens": arguments.tokens, "context_tokens": 128, "lr": 5e-4, "warmup_fraction": 0.1,
             "schedule": "linear", "end_lr_fraction": 0.25}  # fmt: skip
    section = PretrainSection(
        base=str(arguments.base), seed=seed, step_tokens=4096, optimizer={"name": "muon"}, measures=MEASURES,
        phases=[phase | ARMS[arm]], trackers=(), dtype=arguments.dtype,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        if base:
            known = {name: value for name, value in base.items() if name != "perplexity"}
            known = {"phases": [], "base_perplexity": base["perplexity"], "base_measures": known}
            write_json(Path(folder) / "phases.json", known)
        found = pretrain.run(section, Path(folder), {"corpus": arguments.corpus})
    last = found["phases"][-1]
    base = found["base_measures"] | {"perplexity": found["base_perplexity"]}
    return {"base": base, "after": last["measures"] | {"perplexity": last["perplexity"]}}


def table(results: Mapping[str, list[dict]]) -> str:
    layer = best_layer(results)
    columns = [*columns_of(results["base"][0], layer)]
    lines = [f"retrieval is at layer {layer}; differences are to {BASELINE}, seed by seed, with 95 % intervals", ""]
    lines += ["| arm | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    before = [columns_of(found, layer) for found in results.get(BASELINE, [])]
    for arm, own in results.items():
        values = [columns_of(found, layer) for found in own]
        cells = []
        for column in columns:
            mean = sum(value[column] for value in values) / len(values)
            cell = f"{mean:.2f}"
            if arm not in ("base", BASELINE) and len(before) == len(values):
                differences = [a[column] - b[column] for a, b in zip(values, before, strict=True)]
                cell += f" ({interval(differences)})"
            cells.append(cell)
        lines.append(f"| {arm} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def columns_of(found: Mapping, layer: int) -> dict[str, float]:
    columns = {"retrieval, %": 100 * sum(precisions(found)[layer]) / 2}
    for name, value in found["few_shot"].items():
        columns[f"chrF2 {name.split(',')[0]}"] = value
    for name, value in found["round_trip"].items():
        columns[f"round trip {name}"] = value
    return columns | {f"perplexity {name}": found["perplexity"][name] for name in ("en", "ja")}


def precisions(found: Mapping) -> list[tuple[float, float]]:
    """Both directions, by layer."""
    forward, backward = (values for name, values in found["retrieval"].items() if name != "num_segments")
    return list(zip(forward, backward, strict=True))


def best_layer(results: Mapping[str, list[dict]]) -> int:
    everything = [precisions(found) for own in results.values() for found in own]
    means = [sum(sum(found[layer]) for found in everything) for layer in range(len(everything[0]))]
    return means.index(max(means))


def interval(differences: list[float]) -> str:
    """Mean and 95 % t-interval of paired differences: "+1.20 ± 0.40"."""
    number, mean = len(differences), sum(differences) / len(differences)
    if number < 2:
        return f"{mean:+.2f}"
    deviation = math.sqrt(sum((x - mean) ** 2 for x in differences) / (number - 1))
    return f"{mean:+.2f} ± {student.ppf(0.975, number - 1) * deviation / math.sqrt(number):.2f}"


def _arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, default=Path("runs/tiny/corpus"))
    parser.add_argument("--base", type=Path, default=Path("models/base-tiny"))
    parser.add_argument("--tokens", type=int, default=60_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "auto"))
    parser.add_argument("--most", type=int, help="train no more models than this, and keep the rest for the next call")
    parser.add_argument("--arms", type=lambda text: text.split(","), default=list(ARMS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    unknown = [arm for arm in arguments.arms if arm not in ARMS]
    if unknown:
        parser.error(f"unknown arm {unknown[0]!r}; there are {', '.join(ARMS)}")
    return arguments


if __name__ == "__main__":
    main()
