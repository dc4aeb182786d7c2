"""Time mbrs' chrF decoder on given candidates; run by `benchmarks/mbr.py` with the Python that has mbrs.

Reads {"candidate_lists": [[text]], "fastchrf": bool, "repeats": int} from standard input and writes JSON: seconds of
each repeat (wall clock, and processor time of this process and its workers), and index and score of each choice.
"""

import json
import os
import sys
import time
from importlib import metadata

from mbrs.decoders import DecoderMBR
from mbrs.metrics import MetricChrF


def main() -> None:
    task = json.load(sys.stdin)
    decoder = DecoderMBR(DecoderMBR.Config(), MetricChrF(MetricChrF.Config(fastchrf=task["fastchrf"])))
    warm_up = task["candidate_lists"][0][:4]
    decoder.decode(warm_up, warm_up)
    wall, cpu = [], []
    for _ in range(task["repeats"]):
        start, cpu_start = time.perf_counter(), processor_seconds()
        outputs = [decoder.decode(candidates, candidates) for candidates in task["candidate_lists"]]
        wall.append(time.perf_counter() - start)
        cpu.append(processor_seconds() - cpu_start)
    found = {
        "seconds": wall,
        "cpu_seconds": cpu,
        "indices": [output.idx[0] for output in outputs],
        "scores": [output.score[0] for output in outputs],
        "versions": {name: metadata.version(name) for name in ("mbrs", "fastchrf", "sacrebleu", "torch", "numpy")},
    }
    json.dump(found, sys.stdout)


def processor_seconds() -> float:
    """User and system time of this process and of the workers that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


if __name__ == "__main__":
    main()
