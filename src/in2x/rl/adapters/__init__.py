"""The method inside other trainers: our losses, rewards and prompts for verl and for TRL's GRPOTrainer.

    prompts   rl.parquet as the prompt set that both of them read
    rewards   the translation reward as functions of the signatures that they call
    verl      every row of in2x.rl.algorithms as one of verl's policy losses
    trl       a GRPOTrainer whose loss is one of those rows

Neither package is a dependency of this project; verl.py and trl.py import theirs, and nothing else here does.
"""
