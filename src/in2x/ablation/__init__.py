"""What each ingredient of the RL objective is worth: a grid of runs from one SFT model, and what they tell."""
