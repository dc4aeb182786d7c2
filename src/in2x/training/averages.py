"""A running (exponential) mean of the weights, which may serve as the model in place of the last ones.

The decay grows with the steps, min(decay, (1 + t) / (10 + t)) at step t, so that the mean of a short run forgets the
weights that it began with.
"""

import torch
from torch import nn


class Averages:
    """The mean of every trained parameter, by name; while it is `in_use` as the model, the model's own weights."""

    def __init__(self, model: nn.Module, decay: float):
        self.decay, self.in_use = decay, False
        self.means = {name: parameter.detach().clone() for name, parameter in trained(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights after optimizer step `step`, counted from 1."""
        decay = min(self.decay, (1 + step) / (10 + step))
        for name, parameter in trained(model).items():
            self.means[name].lerp_(parameter.detach(), 1 - decay)

    @torch.no_grad()
    def exchange(self, model: nn.Module) -> None:
        """Put the means into the model and the model's weights here; once more undoes it, to the last bit."""
        for name, parameter in trained(model).items():
            own = parameter.detach().clone()
            parameter.copy_(self.means[name])
            self.means[name] = own
        self.in_use = not self.in_use


def trained(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
