"""Random weights in the key layouts of public releases (methods.md 9)."""

from __future__ import annotations

import argparse

import torch

from tal_engine.vocabulary import Vocabulary

THREE = Vocabulary(["run", "jump", "sit"])
W, C = 8, 3


def layer(name, out, inputs, kernel=1, bias=True):
    shape = (out, inputs, kernel) if kernel else (out, inputs)
    found = {f"{name}.weight": torch.randn(shape) * 0.2}
    return found | ({f"{name}.bias": torch.randn(out) * 0.2} if bias else {})


def consensus(autoencoded):
    state, half = {}, W // 2
    for tower in ("vAttn", "fAttn"):
        parts = {"channel_conv.0": (W, W, 3), "bit_wise_attn.0": (W, half if autoencoded else W, 3),
                 "attention.0": (half, W, 3), "attention.3": (half, half, 3), "attention.5": (1, half, 1)}  # fmt: skip
        if autoencoded:
            parts |= {"AE_e.0": (half, W, 3), "AE_d.0": (W, half, 3)}
        for name, shape in parts.items():
            state |= layer(f"{tower}.{name}", *shape)
    return state | layer("fusion.0", 2 * W, 2 * W, 3 if autoencoded else 1)


def co2():
    state = consensus(False) | layer("feat_encoder.0", 2 * W, 2 * W, 3)
    return state | layer("classifier.1", 2 * W, 2 * W, 3) | layer("classifier.4", C + 1, 2 * W)


def basnet():
    a, b = "filter_module.conv_", "cas_module.conv_"
    state = layer(f"{a}1.0", 6, 2 * W) | layer(f"{a}2.0", 1, 6) | layer(f"{b}1.0", 2 * W, 2 * W, 3)
    return state | layer(f"{b}2.0", 2 * W, 2 * W, 3) | layer(f"{b}3.0", C + 1, 2 * W, bias=False)


def um():
    return layer("cas_module.conv.0", 2 * W, 2 * W, 3) | layer("cas_module.classifier.0", C, 2 * W, bias=False)


def lacp():
    a = "cls_module."
    return layer(f"{a}conv_1.0", 2 * W, 2 * W, 3) | layer(f"{a}classifier.0", C + 1, 2 * W, bias=False)


def cola():
    a = "actionness_module."
    return layer(f"{a}f_embed.0", 2 * W, 2 * W, 3) | layer(f"{a}f_cls.0", C, 2 * W, bias=False)


def aicl():
    a = "actionness_module."
    state = layer(f"{a}base_module.0", 6, 2 * W, 3) | layer(f"{a}cls.0", C, 6)
    for s in ("rgb", "flow"):
        state |= layer(f"{a}action_module_{s}.0", 6, W, 3) | layer(f"{a}cls_{s}", 1, 6)
    return state


def hamnet():
    a, b = "net.classifier.", "net.attention."
    state = layer(f"{a}1", 2 * W, 2 * W, 3) | layer(f"{a}4", 2 * W, 2 * W, 3) | layer(f"{a}7", C + 1, 2 * W)
    state |= layer(f"{b}0", 6, 2 * W, 3) | layer(f"{b}2", 6, 6, 3) | layer(f"{b}4", 1, 6)
    return {"state_dict": state, "epoch": 3, "hparams": argparse.Namespace(lr=1e-5)}


def pvlr(text):
    state = consensus(True) | layer("fusion2.0", 2 * W, 2 * W, 3)
    for part in ("fc_mean", "fc_var"):
        state |= layer(f"snippet_prob_encoder.{part}", text.dim, 2 * W, 0)
    return state | {"embedding.weight": torch.randn(text.context, text.width)}


def pvlr_anet(text):
    state, a = consensus(False) | layer("fusion2.0", 2 * W, 2 * W, 3), "snippet_prob_encoder."
    state |= layer(f"{a}mu_enc", text.dim, 2 * W, 0) | layer(f"{a}var_enc.0", text.dim, 2 * W, 0)
    state |= layer(f"{a}var_enc.3", text.dim, text.dim, 0)
    return state | {"embedding.weight": torch.randn(text.context, text.width)}


def written(folder, state, name="w.pth"):
    torch.save(state, folder / name)
    return folder / name


def changed(state, key, value=None):
    state = dict(state)
    if value is None:
        del state[key]
    else:
        state[key] = value
    return state


def actionformer(width=8, *, embedding=2, stem=1, levels=3, head_layers=3, classes=C):
    """ActionFormer's tensors as torch.save has them: averaged ones beside those of the last step."""
    state = {}

    def norm(name):
        state[f"{name}.weight"], state[f"{name}.bias"] = (torch.randn(1, width, 1) * 0.3 for _ in range(2))

    def block(name):
        for part in ("query", "key", "value"):
            state[f"{name}.attn.{part}_conv.conv.weight"] = torch.randn(width, 1, 3) * 0.5
            norm(f"{name}.attn.{part}_norm")
            state.update(layer(f"{name}.attn.{part}", width, width))
        state.update(layer(f"{name}.attn.proj", width, width))
        state.update(layer(f"{name}.mlp.0", 4 * width, width) | layer(f"{name}.mlp.3", width, 4 * width))
        norm(f"{name}.ln1")
        norm(f"{name}.ln2")
        state.update({f"{name}.drop_path_{k}.scale": torch.randn(1, width, 1) for k in ("attn", "mlp")})

    for i in range(embedding):
        inputs = width if i else 2 * W
        state.update(layer(f"backbone.embd.{i}.conv", width, inputs, 3, bias=False))
        norm(f"backbone.embd_norm.{i}")
    for i in range(stem):
        block(f"backbone.stem.{i}")
    for i in range(levels - 1):
        block(f"backbone.branch.{i}")
    for i in range(levels):
        norm(f"neck.fpn_norms.{i}")
        state[f"reg_head.scale.{i}.scale"] = torch.tensor(0.7 + i)
    for name in ("cls_head", "reg_head"):
        for i in range(head_layers - 1):
            state.update(layer(f"{name}.head.{i}.conv", width, width, 3, bias=False))
            norm(f"{name}.norm.{i}")
    state.update(layer("cls_head.cls_head.conv", classes, width, 3) | layer("reg_head.offset_head.conv", 2, width, 3))
    last = {k: v + 1 for k, v in state.items()}
    return {"epoch": 35, "state_dict": _parallel(last), "state_dict_ema": _parallel(state), "scheduler": {"step": 3500}}


def _parallel(state):
    return {f"module.{k}": v for k, v in state.items()}
