"""What share of a phase's tokens each stream gets: weights, sizes, replay, and a cap on repetition.

1. share_i is in proportion to weight_i, times size_i ** (1 / temperature) where there is a temperature.
2. `replay` scales the streams of the hub language to that share together, and all others to the rest.
3. No stream gets more than max_epochs of its size; what is over is spread over those below their caps, in proportion
   to their shares, until nothing is over (UniMax, Chung et al., arXiv 2304.09151, with weights in place of equal
   shares). The cap comes last: where the hub's text is too little for its share, replay falls short, and the others
   get it.
"""

from collections.abc import Mapping

from in2x.artifacts import In2xError


def shares(
    weights: Mapping[str, float],
    sizes: Mapping[str, float],
    num_tokens: float,
    *,
    temperature: float | None = None,
    max_epochs: float | None = None,
    replay: float | None = None,
    hub: str = "",
) -> dict[str, float]:
    """Shares that sum to 1, by stream. `sizes` (tokens) are read only where temperature or max_epochs are given.

    Raises:
        In2xError: all streams together, each repeated max_epochs times, have fewer than num_tokens.
    """
    found = dict(weights)
    if temperature is not None:
        found = {name: weight * sizes[name] ** (1 / temperature) for name, weight in found.items()}
    found = _normalised(found)
    if replay is not None:
        found = _with_replay(found, replay, hub)
    if max_epochs is not None:
        found = _capped(found, {name: max_epochs * sizes[name] / num_tokens for name in found}, num_tokens, max_epochs)
    return found


def with_hub(mixture: Mapping[str, float], replay: float | None, hub: str) -> dict[str, float]:
    """The mixture, with a stream of all hub text where replay is wanted and no stream is of that language alone."""
    if replay is None or any(_is_hub(name, hub) for name in mixture):
        return dict(mixture)
    return {**mixture, hub: sum(mixture.values())}


def _with_replay(found: dict[str, float], replay: float, hub: str) -> dict[str, float]:
    kept = sum(share for name, share in found.items() if _is_hub(name, hub))
    if kept == 1:
        return found  # nothing but hub text: there is nothing to keep it from
    factors = replay / kept, (1 - replay) / (1 - kept)
    return {name: share * factors[0 if _is_hub(name, hub) else 1] for name, share in found.items()}


def _capped(found: dict[str, float], caps: dict[str, float], num_tokens: float, max_epochs: float) -> dict[str, float]:
    total = sum(caps.values())
    if total < 1 - 1e-9:
        listed = ", ".join(f"{name} {cap * num_tokens / max_epochs:,.0f}" for name, cap in caps.items())
        raise In2xError(
            f"the streams are too small for the phase: {num_tokens:,.0f} tokens are wanted, and {max_epochs:g} epochs "
            f"of all streams have {total * num_tokens:,.0f} (about, of one epoch: {listed}); lower `tokens`, raise "
            "`max_epochs`, or add text"
        )
    full: set[str] = set()
    while over := {name for name in found if name not in full and found[name] > caps[name] + 1e-12}:
        full |= over
        room = 1 - sum(caps[name] for name in full)
        rest = sum(share for name, share in found.items() if name not in full)
        found = {name: caps[name] if name in full else found[name] * room / rest for name in found}
    return _normalised(found)


def _normalised(found: Mapping[str, float]) -> dict[str, float]:
    total = sum(found.values())
    return {name: value / total for name, value in found.items()}


def _is_hub(name: str, hub: str) -> bool:
    return name.split(":")[0] == hub
