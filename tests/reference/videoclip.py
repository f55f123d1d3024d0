"""VideoCLIP-XL's towers, token by token and with torch's own attention; weights by the public names."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional


def block(x, state, prefix, heads, mask=None):
    """One layer on [L, width]."""
    width = x.shape[1]
    attention = nn.MultiheadAttention(width, heads)
    attention.load_state_dict({k: state[f"{prefix}.attn.{k}"] for k in attention.state_dict()})
    y = functional.layer_norm(x, (width,), state[f"{prefix}.ln_1.weight"], state[f"{prefix}.ln_1.bias"])
    x = x + attention(y, y, y, need_weights=False, attn_mask=mask)[0]
    y = functional.layer_norm(x, (width,), state[f"{prefix}.ln_2.weight"], state[f"{prefix}.ln_2.bias"])
    y = y @ state[f"{prefix}.mlp.c_fc.weight"].T + state[f"{prefix}.mlp.c_fc.bias"]
    y = y * (1 / (1 + torch.exp(-1.702 * y)))
    return x + y @ state[f"{prefix}.mlp.c_proj.weight"].T + state[f"{prefix}.mlp.c_proj.bias"]


def vision(pictures, state, patch, layers, heads):
    """One video [frames, 3, P, P] to [dim]."""
    s = {k.removeprefix("vision_model.vision_encoder."): v for k, v in state.items()}
    side = pictures.shape[-1] // patch
    tokens = [s["class_embedding"] + s["positional_embedding"][0]]
    for t, frame in enumerate(pictures):
        for i in range(side * side):
            row, column = patch * (i // side), patch * (i % side)
            square = frame[:, row : row + patch, column : column + patch]
            token = (s["conv1.weight"][:, :, 0] * square).sum((1, 2, 3))
            tokens.append(token + s["positional_embedding"][1 + i] + s["temporal_positional_embedding"][0, t])
    x = torch.stack(tokens)
    x = functional.layer_norm(x, x.shape[1:], s["ln_pre.weight"], s["ln_pre.bias"])
    for i in range(layers):
        x = block(x, s, f"transformer.resblocks.{i}", heads)
    x = functional.layer_norm(x, x.shape[1:], s["ln_post.weight"], s["ln_post.bias"])
    return x[0] @ s["proj"]


def text(tokens, state, layers, heads, context):
    """Token ids of one text, padded with 0 to the whole context, to [dim]; the end token is the largest id."""
    s = {k.removeprefix("text_model."): v for k, v in state.items()}
    ids = torch.tensor(tokens + [0] * (context - len(tokens)))
    early = (torch.arange(context) < 20)[:, None]
    positions = torch.where(early, s["positional_embedding"], s["positional_embedding_res"])
    x = s["token_embedding.weight"][ids] + positions
    mask = torch.full((context, context), float("-inf")).triu(1)
    for i in range(layers):
        x = block(x, s, f"transformer.resblocks.{i}", heads, mask)
    x = functional.layer_norm(x, x.shape[1:], s["ln_final.weight"], s["ln_final.bias"])
    return x[ids.argmax()] @ s["text_projection"]
