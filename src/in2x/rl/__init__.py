"""Reinforcement learning with group-relative rewards, one axis of the loss per file.

The pure part (tensors in, tensors out):

    inputs        what every loss reads, and the knobs that it obeys
    advantages    rewards -> advantages, relative to the group
    surrogates    the policy term and its clip, per token or per trajectory
    kl            estimators of KL(policy || reference)
    aggregation   the only place that reduces over tokens and completions
    algorithms    ALGORITHMS: one row per published algorithm, In2x among them
"""
