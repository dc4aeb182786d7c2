"""Which systems of WMT25 were constrained, so that ranks among the unconstrained can be told without another file.

From `data/systems_metadata.json` of WMT25's public repository (wmt-conference/wmt25-general-mt),
where every system has a flag `constrained`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from in2x.artifacts import In2xError
from in2x.evaluation.autorank import CHRF_ONLY, WITH_REFERENCE, WITHOUT_REFERENCE, Pool

_CONSTRAINED = """
AMI Algharb AyaExpanse-8B COILD-BHO CUNI-DocTransformer CUNI-MH-v2 CUNI-SFT CUNI-Transformer CommandR7B EuroLLM-9B
Gemma-3-12B IRB-MT KIKIS Laniqo Llama-3.1-8B Mistral-7B NLLB NTTSU Qwen2.5-7B RuZh SRPOL SalamandraTA Shy Systran
TowerPlus-9B Wenyiil Yolu ctpc_nlp
"""
_UNCONSTRAINED = """
AyaExpanse-32B CGFOKUS CUNI-EdUKate-v1 Claude-4 CommandA CommandA-MT DLUT_GTCOM DeepSeek-V3 Erlendur EuroLLM-22B
GPT-4.1 GemTrans Gemini-2.5-Pro Gemma-3-27B IR-MultiagentMT In2x KYUoM Kaze-MT Llama-4-Maverick Mistral-Medium
ONLINE-B ONLINE-G ONLINE-W Qwen3-235B SH TowerPlus-72B TranssionMT TranssionTranslate UvA-MT Yandex bb88
"""
CONSTRAINED, UNCONSTRAINED = frozenset(_CONSTRAINED.split()), frozenset(_UNCONSTRAINED.split())
WMT25_PAIRS = WITH_REFERENCE | WITHOUT_REFERENCE | CHRF_ONLY


def known_tracks(pool: Pool, own: Collection[str] = ()) -> dict[str, np.ndarray]:
    """Part the pool of a pair of WMT25 into unconstrained and constrained systems; no groups for any other pool.

    A pool counts as WMT25's only where every system but one's own is: a name may be another system's elsewhere.
    """
    names = [pool.systems[position] for position in pool.pool if pool.systems[position] not in own]
    if pool.pair not in WMT25_PAIRS or not all(name in CONSTRAINED | UNCONSTRAINED for name in names):
        return {}
    return _groups(pool, {name: name in CONSTRAINED for name in names})


def track_groups(pool: Pool, path: Path) -> dict[str, np.ndarray]:
    """Part the pool into constrained and unconstrained systems by WMT's metadata; a system without an entry is in none.

    The file maps system -> {"constrained": true or false, ...} as systems_metadata.json of WMT25's public repository,
    or pair -> system -> the same as its systems_humeval.json.

    Raises:
        In2xError: not there, not such a file, or it knows no system of the pool.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise In2xError(f"{path}: can't be read as JSON ({error})") from None
    entries = entries.get(pool.pair, entries) if isinstance(entries, dict) else {}
    constrained = {}
    for name in (pool.systems[position] for position in pool.pool):
        entry = entries.get(name)
        if entry is None:
            continue
        if not isinstance(entry, dict) or not isinstance(entry.get("constrained"), bool):
            raise In2xError(f"{path}: {name}: expected an object with constrained: true or false")
        constrained[name] = entry["constrained"]
    if not constrained:
        raise In2xError(f"{path}: knows no system of the pool of {pool.pair}, such as {pool.systems[0]}")
    return _groups(pool, constrained)


def chosen_group(pool: Pool, names: Sequence[str]) -> np.ndarray:
    """Return the positions of the named systems.

    Raises:
        In2xError: a name is not in the pool; with the nearest that is.
    """
    members = {pool.systems[position]: position for position in pool.pool}
    for name in names:
        if name not in members:
            near = difflib.get_close_matches(name, members, n=1)
            hint = f"; did you mean {near[0]}?" if near else f", only {', '.join(members)}"
            raise In2xError(f"{pool.pair}: no system {name} in the pool{hint}")
    return np.array(sorted({members[name] for name in names}), dtype=np.intp)


def _groups(pool: Pool, constrained: Mapping[str, bool]) -> dict[str, np.ndarray]:
    """Positions in the pool of the unconstrained, then of the constrained systems; no group without a member."""
    groups = {
        name: [position for position in pool.pool if constrained.get(pool.systems[position]) is kind]
        for name, kind in (("unconstrained", False), ("constrained", True))
    }
    return {name: np.array(positions, dtype=np.intp) for name, positions in groups.items() if positions}
