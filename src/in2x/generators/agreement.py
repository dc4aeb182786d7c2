"""Does what the engine reports fit the policy? Looked at once, before a run learns from it."""

import torch

from in2x.artifacts import In2xError
from in2x.model.logprobs import completion_logprobs
from in2x.records import Completion

MAX_NATS = 0.25  # per token; another precision makes a hundredth of a nat, another temperature or model several tenths


@torch.inference_mode()
def mean_difference(model, prompt: list[int], completions: list[Completion], temperature: float) -> float:
    """Mean over the tokens of |log-probability reported - the policy's own|, in nats."""
    longest = max(len(completion.token_ids) for completion in completions)
    ids_BT = torch.zeros(len(completions), len(prompt) + longest, dtype=torch.long)
    mask_BT, reported_BT = torch.zeros_like(ids_BT, dtype=torch.bool), torch.zeros(ids_BT.shape)
    for row, completion in enumerate(completions):
        end = len(prompt) + len(completion.token_ids)
        ids_BT[row, :end] = torch.tensor(prompt + completion.token_ids)
        mask_BT[row, len(prompt) : end] = True
        reported_BT[row, len(prompt) : end] = torch.tensor(completion.sampling_logprobs)
    ids_BT, mask_BT = ids_BT.to(model.device), mask_BT.to(model.device)
    positions_BT = torch.arange(ids_BT.shape[1], device=model.device).expand(ids_BT.shape)
    own_BT, _ = completion_logprobs(model, ids_BT, positions_BT, mask_BT, temperature)
    return float((own_BT.cpu() - reported_BT)[mask_BT.cpu()].abs().mean())


def refuse_disagreement(model, prompt: list[int], completions: list[Completion], temperature: float, who: str) -> None:
    """Raises In2xError where the engine's log-probabilities are not those of this policy at this temperature."""
    model.eval()
    difference = mean_difference(model, prompt, completions, temperature)
    if not difference <= MAX_NATS:
        raise In2xError(
            f"{who}: its log-probabilities differ from the policy's by {difference:.2f} nats a token on the first "
            f"group (at temperature {temperature:g}; at most {MAX_NATS} is plausible). Start it with "
            "--logprobs-mode processed_logprobs, from a model of the same architecture and tokenizer"
        )
