"""Reinforcement learning with group-relative rewards, one axis of the loss per file.

The pure part (tensors in, tensors out):

    inputs        what every loss reads, and the knobs that it obeys
    advantages    rewards -> advantages, relative to the group
    surrogates    the policy term: level of the ratio, its clip, and the loss
    mismatch      weights where the generator samples other than the trainer trains
    entropy       adaptive coefficient of the entropy bonus, and the tokens of Clip-Cov and KL-Cov
    kl            estimators of KL(policy || reference)
    aggregation   the only place that reduces over tokens and completions
    settings      LossSettings, the knobs of a loss
    rows          ROWS: one row per published algorithm, In2x's tic-grpo first; algorithms adds their mathematics
    measures      what is watched of every step, as sums and counts
    spread        how far apart a group's raw rewards are, and so which groups teach anything

The loop (docs/rl.md):

    train         the stage, as in the paper's algorithm box
    prompts       which prompts are drawn next
    draw          groups sampled, rewarded and refilled; their advantages
    rollouts      from groups to tensors, and the loss of a micro-batch; rollout_log keeps every completion
    anchors       the reference, and cross-entropy on SFT translations
    window        what is fixed for all updates of a batch, on disk; history: the steps; both for an exact resume
    watch         what is watched of a batch; alarms: what of it warns, or stops the run
    checks        what is found before any step, with chat_templates; without torch
"""
