"""One training loop and the stages that use it: pretrain (also from scratch), sft, and the preference model."""
