"""Instructions made of translation pairs: prompts and responses for SFT, prompts with references for RL."""
