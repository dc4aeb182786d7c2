"""A decoder's forward pass for generation, over the weights of transformers' modules: Qwen3 and Llama.

The keys and values of a prompt are kept once for the whole group of its samples; each sample keeps its own tokens' in
preallocated memory that is written in place.

Legend: P prompts, G samples of each, N rows (samples) in the batch, L tokens of the longest prompt, T tokens of a
completion so far, E model width, H key-value heads, R query heads that share one of them, D head width.
"""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

FAMILIES = {"qwen3": "Qwen3ForCausalLM", "llama": "LlamaForCausalLM"}
STATIC_ROPE = ("default", "linear", "llama3", "yarn")  # the others' angles depend on the length of the batch
FIRST_TOKENS = 32  # room for so many tokens at first; twice as much whenever it is full
PREFILL_TOKENS = 4096  # prompts are read so many tokens at a time


def unsupported(model: nn.Module) -> str | None:
    """Why the model can't be computed here; None where it can."""
    config = model.config
    if type(model).__name__ != FAMILIES.get(config.model_type):
        return f"{type(model).__name__} is none of {sorted(FAMILIES.values())}"
    if config.hidden_act != "silu" or config.rope_parameters["rope_type"] not in STATIC_ROPE:
        return f"hidden_act {config.hidden_act!r} with rope_type {config.rope_parameters['rope_type']!r}"
    if any(kind != "full_attention" for kind in getattr(config, "layer_types", None) or ()):
        return "a sliding window of attention"
    for name, module in model.named_modules():
        if module._forward_hooks or module._forward_pre_hooks:
            return f"{name or 'the model'} has a forward hook"
    for name, parameter in model.named_parameters():
        if type(parameter) is not nn.Parameter or not parameter.is_floating_point():
            return f"{name} is {type(parameter).__name__} of {parameter.dtype}"
    return None


def norm(x: torch.Tensor, module: nn.Module) -> torch.Tensor:
    return F.rms_norm(x, module.weight.shape, module.weight, module.variance_epsilon)


@dataclass
class _LayerCache:
    """prompt_*: P x H x L x D; own_*: N x H x room x D, of which the first T tokens are written."""

    prompt_keys: torch.Tensor
    prompt_values: torch.Tensor
    own_keys: torch.Tensor
    own_values: torch.Tensor


class GroupDecoder:
    """The samples of several prompts in the making. `start` and `step` give the last hidden states, N x E."""

    def __init__(self, model: nn.Module, prompts: list[list[int]], num_samples: int, max_tokens: int):
        config = model.config
        self.model, self.decoder, self.head_module = model, model.get_decoder(), model.get_output_embeddings()
        self.heads = config.num_key_value_heads
        self.shared = config.num_attention_heads // self.heads
        self.width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.embedding = model.get_input_embeddings().weight  # of the dtype and on the device of all the others
        self.device, self.num_samples = self.embedding.device, num_samples
        self.lengths_P = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        self.longest = max(len(prompt) for prompt in prompts)
        self.max_tokens, self.num_own = max_tokens, 0
        self._rotations(self.longest + max_tokens)
        self._layout(torch.arange(len(prompts), device=self.device).repeat_interleave(num_samples))
        self.prompts = prompts

    def head(self, hidden_NE: torch.Tensor) -> torch.Tensor:
        return self.head_module(hidden_NE).float()

    def start(self) -> torch.Tensor:
        """Read the prompts; the hidden states that predict the first token, P x E: the same for all samples."""
        num_prompts, num_rows = len(self.prompts), len(self.group_N)
        room = min(self.max_tokens, FIRST_TOKENS)
        shape_P, shape_N = (num_prompts, self.heads, self.longest), (num_rows, self.heads, room)
        new = self.embedding.new_empty
        self.caches = [
            _LayerCache(*(new(*shape, self.width) for shape in (shape_P, shape_P, shape_N, shape_N)))
            for _ in self.decoder.layers
        ]
        per_part = max(1, PREFILL_TOKENS // self.longest)
        parts = [range(num_prompts)[start : start + per_part] for start in range(0, num_prompts, per_part)]
        return torch.cat([self._prefill(part) for part in parts])

    def step(self, tokens_N: torch.Tensor) -> torch.Tensor:
        """Append one token to every row."""
        self._make_room()
        positions_N = self.lengths_P[self.group_N] + self.num_own
        cos_N1D, sin_N1D = self.cos[positions_N].unsqueeze(1), self.sin[positions_N].unsqueeze(1)
        x_NE = self.decoder.embed_tokens(tokens_N)
        for layer, cache in zip(self.decoder.layers, self.caches, strict=True):
            query, key, value = self._project(layer, x_NE, cos_N1D, sin_N1D)
            cache.own_keys[:, :, self.num_own] = key
            cache.own_values[:, :, self.num_own] = value
            attended = self._attend(cache, query.view(-1, self.heads, self.shared, self.width))
            x_NE = x_NE + layer.self_attn.o_proj(attended.flatten(1))
            x_NE = x_NE + mlp(layer, x_NE)
        self.num_own += 1
        return norm(x_NE, self.decoder.norm)

    def keep(self, rows_N: torch.Tensor) -> None:
        """Leave only these rows, and the prompts that they continue."""
        group_N = self.group_N[rows_N]
        kept_P, group_N = torch.unique_consecutive(group_N, return_inverse=True)
        self.lengths_P = self.lengths_P[kept_P]
        for cache in self.caches:
            if len(kept_P) < len(cache.prompt_keys):
                cache.prompt_keys, cache.prompt_values = cache.prompt_keys[kept_P], cache.prompt_values[kept_P]
            cache.own_keys, cache.own_values = (
                _resized(old, rows_N, old.shape[2], self.num_own) for old in (cache.own_keys, cache.own_values)
            )
        self._layout(group_N)

    def _rotations(self, num_positions: int) -> None:
        """cos and sin of the rotary embedding, positions x D; the sign of rotate-half is in sin."""
        positions = torch.arange(num_positions, device=self.device)
        cos, sin = self.decoder.rotary_emb(self.embedding, positions.unsqueeze(0))
        self.cos = cos[0]
        self.sin = torch.cat([-sin[0, :, : self.width // 2], sin[0, :, self.width // 2 :]], dim=1)

    def _layout(self, group_N: torch.Tensor) -> None:
        """Where each row stands in a grid with a line for each prompt, so that a prompt's rows are one matrix."""
        counts_P = torch.bincount(group_N)
        first_P = counts_P.cumsum(0) - counts_P
        self.group_N, self.grid_width = group_N, int(counts_P.max())
        self.place_N = group_N * self.grid_width + torch.arange(len(group_N), device=self.device) - first_P[group_N]
        self.grid_full = len(group_N) == len(counts_P) * self.grid_width
        outside_PL = torch.arange(self.longest, device=self.device) >= self.lengths_P.unsqueeze(1)
        bias_PL = torch.zeros(outside_PL.shape, device=self.device).masked_fill_(outside_PL, float("-inf"))
        self.bias_P11L = bias_PL[:, None, None].to(self.embedding.dtype) if outside_PL.any() else None

    def _to_grid(self, x_NHRX: torch.Tensor) -> torch.Tensor:
        """N x H x R x X -> P x H x GR x X, zero where a prompt has fewer rows than another."""
        heads, shared, last = x_NHRX.shape[1:]
        num_prompts = len(self.lengths_P)
        if not self.grid_full:
            grid = x_NHRX.new_zeros(num_prompts * self.grid_width, heads, shared, last)
            x_NHRX = grid.index_copy_(0, self.place_N, x_NHRX)
        grid = x_NHRX.view(num_prompts, self.grid_width, heads, shared, last).transpose(1, 2)
        return grid.reshape(num_prompts, heads, self.grid_width * shared, last)

    def _to_rows(self, grid: torch.Tensor) -> torch.Tensor:
        """P x H x GR x X -> N x H x R x X."""
        num_prompts, heads, _, last = grid.shape
        split = grid.view(num_prompts, heads, self.grid_width, self.shared, last).transpose(1, 2)
        x_NHRX = split.reshape(num_prompts * self.grid_width, heads, self.shared, last)
        return x_NHRX if self.grid_full else x_NHRX[self.place_N]

    def _attend(self, cache: _LayerCache, query_NHRD: torch.Tensor) -> torch.Tensor:
        """Attention of each row to its prompt and to its own tokens: N x H x R x D."""
        own = slice(0, self.num_own + 1)
        query_NHRD = query_NHRD * self.width**-0.5
        to_prompt = self._to_grid(query_NHRD) @ cache.prompt_keys.transpose(2, 3)
        if self.bias_P11L is not None:
            to_prompt += self.bias_P11L
        to_own_NHRT = query_NHRD @ cache.own_keys[:, :, own].transpose(2, 3)
        weights = torch.cat([self._to_rows(to_prompt), to_own_NHRT], dim=-1).softmax(dim=-1)
        from_prompt, from_own = weights.split([self.longest, self.num_own + 1], dim=-1)
        attended = self._to_rows(self._to_grid(from_prompt) @ cache.prompt_values)
        return attended + from_own @ cache.own_values[:, :, own]

    def _project(self, layer, x, cos, sin) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries, keys and values of the last axis' width, heads before it; queries and keys normed and rotated."""
        attention = layer.self_attn
        normed = norm(x, layer.input_layernorm)
        projections = (attention.q_proj, attention.k_proj, attention.v_proj)
        query, key, value = (module(normed).unflatten(-1, (-1, self.width)) for module in projections)
        if hasattr(attention, "q_norm"):
            query, key = norm(query, attention.q_norm), norm(key, attention.k_norm)
        return rotate(query, cos, sin), rotate(key, cos, sin), value

    def _prefill(self, part: range) -> torch.Tensor:
        """Read some prompts, padded on the right, where causal attention does not see the padding."""
        padded = [self.prompts[p] + [0] * (self.longest - len(self.prompts[p])) for p in part]
        rows = slice(part.start, part.stop)
        x_PLE = self.decoder.embed_tokens(torch.tensor(padded, device=self.device))
        cos_L1D, sin_L1D = self.cos[: self.longest].unsqueeze(1), self.sin[: self.longest].unsqueeze(1)
        for layer, cache in zip(self.decoder.layers, self.caches, strict=True):
            query, key, value = (x.transpose(1, 2) for x in self._project(layer, x_PLE, cos_L1D, sin_L1D))
            cache.prompt_keys[rows], cache.prompt_values[rows] = key, value
            attended = F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=True)
            x_PLE = x_PLE + layer.self_attn.o_proj(attended.transpose(1, 2).flatten(2))
            x_PLE = x_PLE + mlp(layer, x_PLE)
        last_P = self.lengths_P[rows] - 1
        return norm(x_PLE[torch.arange(len(part), device=self.device), last_P], self.decoder.norm)

    def _make_room(self) -> None:
        room = self.caches[0].own_keys.shape[2]
        if self.num_own < room:
            return
        for cache in self.caches:
            cache.own_keys, cache.own_values = (
                _resized(old, None, min(2 * room, self.max_tokens), room) for old in (cache.own_keys, cache.own_values)
            )


def mlp(layer, x: torch.Tensor) -> torch.Tensor:
    normed = norm(x, layer.post_attention_layernorm)
    gate = F.silu(layer.mlp.gate_proj(normed), inplace=True)
    return layer.mlp.down_proj(gate.mul_(layer.mlp.up_proj(normed)))


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, -1), sin)


def _resized(old: torch.Tensor, rows_N: torch.Tensor | None, room: int, used: int) -> torch.Tensor:
    """N x H x room x D with the first `used` tokens of some rows (None: all) of `old`."""
    kept = old[:, :, :used] if rows_N is None else old[rows_N, :, :used]
    new = old.new_empty(len(kept), old.shape[1], room, old.shape[3])
    new[:, :, :used] = kept
    return new
