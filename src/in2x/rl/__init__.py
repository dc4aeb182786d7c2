"""Reinforcement learning with group-relative rewards, one axis of the loss per file.

The pure part (tensors in, tensors out):

    inputs        what every loss reads, and the knobs that it obeys
    advantages    rewards -> advantages, relative to the group
    surrogates    the policy term: level of the ratio, its clip, and the loss
    mismatch      weights where the generator samples other than the trainer trains
    entropy       adaptive coefficient of the entropy bonus, and the tokens of Clip-Cov and KL-Cov
    kl            estimators of KL(policy || reference)
    aggregation   the only place that reduces over tokens and completions
    algorithms    ALGORITHMS: one row per published algorithm, In2x's tic-grpo first
    measures      what is watched at every step, as sums and counts
"""
