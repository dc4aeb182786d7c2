"""ROWS: one frozen row per published algorithm; a row picks one entry per axis.

Nothing here imports torch: what a recipe sets in vain is found before anything is loaded.
"""

import dataclasses
from dataclasses import dataclass

from in2x.rl.settings import LossSettings


@dataclass(frozen=True, kw_only=True)
class Row:
    """Keys into ADVANTAGES, SURROGATES, LEVELS, CLIPS and AGGREGATIONS, and the settings to start from.

    published: what the paper used; the table says "ours" where it is silent.
    """

    paper: str
    advantages: str
    surrogate: str
    level: str
    clip: str
    aggregation: str
    published: LossSettings

    def settings(self, **chosen: object) -> LossSettings:
        """The published settings with `chosen` in their place; None is not chosen."""
        return dataclasses.replace(self.published, **_given(chosen))

    def unread(self, **chosen: object) -> dict[str, str]:
        """Those of `chosen` that have no effect beside the others, and why: a recipe that sets them is mistaken."""
        settings = self.settings(**chosen)
        _, clip, _ = self.axes(settings)
        checks = (
            (("clip_low",), clip == "two-sided", "unless clip is 'two-sided'"),
            (("clip_high",), clip in ("two-sided", "upper-only"), "unless clip is 'two-sided' or 'upper-only'"),
            (("band_width", "band_centred"), clip == "length-fair", "unless clip is 'length-fair'"),
            (("kl_estimator",), settings.kl_coefficient > 0, "unless kl_coefficient is above 0"),
            (("covariance_fraction",), settings.covariance_control != "none", "unless covariance_control is set"),
            (
                ("covariance_kl_coefficient",),
                settings.covariance_control == "kl-cov",
                "unless covariance_control is 'kl-cov'",
            ),
            (
                ("mismatch_level", "mismatch_floor", "mismatch_cap"),
                settings.mismatch != "none",
                "where mismatch is 'none'",
            ),
            (_RATIO_SETTINGS, self.surrogate != "reinforce", "in an algorithm without a ratio"),
        )
        reasons = {name: f"nothing reads it {reason}" for names, read, reason in checks if not read for name in names}
        return {name: reasons[name] for name in _given(chosen) if name in reasons}

    def axes(self, settings: LossSettings) -> tuple[str, str, str]:
        """Level, clip and aggregation: what the settings choose, or else the row's own."""

        def choose(chosen: str, own: str) -> str:
            return own if chosen == "as-published" else chosen

        return (
            choose(settings.importance_level, self.level),
            choose(settings.clip, self.clip),
            choose(settings.length_normalise, self.aggregation),
        )


_RATIO_SETTINGS = ("clip", "clip_low", "clip_high", "dual_clip", "band_width", "band_centred")


def _given(chosen: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in chosen.items() if value is not None}


_NO_EXTRAS = {"dual_clip": "none", "entropy_coefficient": 0.0}

ROWS = {
    # Upper clip only and dual clip (1912.09729) on the probability ratio of the completion (TIC-GRPO, 2508.02833).
    # Bounds ours: the paper gives none. Temperature decay and the soft length penalty are settings of the rollouts.
    "tic-grpo": Row(
        paper="arXiv 2508.14472",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="trajectory",
        clip="upper-only",
        aggregation="trajectory-mean",
        published=LossSettings(),
    ),
    # band_width ours.
    "fspo": Row(
        paper="arXiv 2509.09177",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="trajectory",
        clip="length-fair",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
    # Clip bounds are PPO's customary 0.2.
    "grpo": Row(
        paper="arXiv 2402.03300",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="token",
        clip="two-sided",
        aggregation="sequence-mean",
        published=LossSettings(clip_low=0.2, clip_high=0.2, kl_coefficient=0.04, kl_estimator="k3", **_NO_EXTRAS),
    ),
    "dr-grpo": Row(
        paper="arXiv 2503.20783",
        advantages="group-mean",
        surrogate="clipped-ratio",
        level="token",
        clip="two-sided",
        aggregation="constant-length",
        published=LossSettings(clip_low=0.2, clip_high=0.2, **_NO_EXTRAS),
    ),
    # Its dynamic sampling is `advantages.informative_groups`; its length penalty belongs to the reward.
    "dapo": Row(
        paper="arXiv 2503.14476",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="token",
        clip="two-sided",
        aggregation="token-mean",
        published=LossSettings(clip_low=0.2, clip_high=0.28, **_NO_EXTRAS),
    ),
    "gspo": Row(
        paper="arXiv 2507.18071",
        advantages="group-standardised",
        surrogate="clipped-ratio",
        level="sequence",
        clip="two-sided",
        aggregation="trajectory-mean",
        published=LossSettings(clip_low=3e-4, clip_high=4e-4, **_NO_EXTRAS),
    ),
    # No lower bound, as in the paper; clip_high ours.
    "cispo": Row(
        paper="arXiv 2506.13585",
        advantages="group-standardised",
        surrogate="clipped-weight",
        level="token",
        clip="upper-only",
        aggregation="token-mean",
        published=LossSettings(clip_high=0.28, **_NO_EXTRAS),
    ),
    # Its KL is a part of the reward in the paper, so none here.
    "rloo": Row(
        paper="arXiv 2402.14740",
        advantages="leave-one-out",
        surrogate="reinforce",
        level="trajectory",
        clip="none",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
    # Williams, 1992, with the mean reward of the batch as its baseline.
    "reinforce": Row(
        paper="doi 10.1007/BF00992696",
        advantages="batch-mean",
        surrogate="reinforce",
        level="trajectory",
        clip="none",
        aggregation="trajectory-mean",
        published=LossSettings(**_NO_EXTRAS),
    ),
}
