"""Models and tokenizers: loading, making one from scratch, prompts, log-probabilities, merging."""
