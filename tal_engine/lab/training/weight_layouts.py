"""Key layouts of public releases: how to tell them apart, and which of our tensors each key is.

Tables go from the public module to ours; ".weight" and ".bias" follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """One public layout.

    marks: keys that tell it from the others. modules: public module -> ours. config: fields that the
    tensors, by our names, imply. settings: those that the layout itself implies. refusal: why it is
    recognised but not read. key: which of several state dicts in a file is published as the result; "" where nothing
    is said.
    """

    title: str
    marks: tuple[str, ...]
    method: str = ""
    modules: Mapping[str, str] | None = None
    config: Callable[[State], dict[str, Any]] = lambda _: {}
    settings: Mapping[str, Any] = field(default_factory=dict)
    refusal: str = ""
    key: str = ""


def _consensus(autoencoded: bool, base: str = "") -> dict[str, str]:
    """Map CO2-Net's two attentions; vAttn has RGB as its main stream."""
    inside = {"channel_conv.0": "channel.conv", "bit_wise_attn.0": "bit.conv", "attention.0": "hidden.0.conv",
              "attention.3": "hidden.1.conv", "attention.5": "logit"}  # fmt: skip
    if autoencoded:
        inside |= {"AE_e.0": "encode.conv", "AE_d.0": "decode.conv"}
    streams = (("vAttn", "rgb"), ("fAttn", "flow"))
    table = {f"{theirs}.{k}": f"{base}{ours}.{v}" for theirs, ours in streams for k, v in inside.items()}
    return table | {"fusion.0": f"{base}fusion.0.conv"}


def _widths(state: State, base: str = "") -> dict[str, Any]:
    return {s: state[f"{base}{s}.channel.conv.weight"].shape[0] for s in ("rgb", "flow")}


def _halves(total: int) -> dict[str, Any]:
    return {"rgb": total // 2, "flow": total - total // 2}


#: More levels, blocks and layers than any published ActionFormer has.
_MANY = 12


def _former() -> dict[str, str]:
    """ActionFormer's pyramid; a key that a file lacks does no harm here."""
    inside = {"ln1": "before_attention", "ln2": "before_mlp", "mlp.0": "up", "mlp.3": "down",
              "attn.proj": "attention.mixed", "drop_path_attn": "attention_branch",
              "drop_path_mlp": "mlp_branch"}  # fmt: skip
    for part in ("query", "key", "value"):
        inside |= {f"attn.{part}_conv.conv": f"attention.{part}_conv", f"attn.{part}_norm": f"attention.{part}_norm",
                   f"attn.{part}": f"attention.{part}"}  # fmt: skip
    table = {"cls_head.cls_head.conv": "classifier", "reg_head.offset_head.conv": "borders"}
    for i in range(_MANY):
        table |= {f"backbone.{at}.{i}.{k}": f"{at}.{i}.{v}" for at in ("stem", "branch") for k, v in inside.items()}
        table |= {f"backbone.embd.{i}.conv": f"embed.{i}", f"backbone.embd_norm.{i}": f"embed_norms.{i}",
                  f"neck.fpn_norms.{i}": f"norms.{i}", f"reg_head.scale.{i}": f"scales.{i}"}  # fmt: skip
        for theirs, ours in (("cls_head", "class_tower"), ("reg_head", "border_tower")):
            table |= {f"{theirs}.head.{i}.conv": f"{ours}.convs.{i}", f"{theirs}.norm.{i}": f"{ours}.norms.{i}"}
    return table


def _former_config(state: State) -> dict[str, Any]:
    counts = {"embedding": "embed.{}.weight", "stem": "stem.{}.up.weight", "levels": "norms.{}.weight",
              "head_layers": "class_tower.convs.{}.weight"}  # fmt: skip
    found = {k: sum(name.format(i) in state for i in range(_MANY)) for k, name in counts.items()}
    found["head_layers"] += 1
    return {**_halves(state["embed.0.weight"].shape[1]), "width": state["embed.0.weight"].shape[0], **found}


_FORMER = ("backbone.embd.0.conv.weight",)
_PVLR_BASE = "base."
_PVLR_TAIL = {"fusion2.0": "base.fusion.1.conv"}

LAYOUTS = (
    *(
        Layout(
            "I3D", (stem,),
            refusal="these are weights of an encoder, which makes features from frames, and import reads heads; "
                    "use as --encoder i3d weights",
        )
        for stem in ("Conv3d_1a_7x7.conv3d.weight", "RGB/inception_i3d/Conv3d_1a_7x7/conv_3d/w",
                     "Flow/inception_i3d/Conv3d_1a_7x7/conv_3d/w", "Conv3d_1a_7x7/conv_3d/w")
    ),
    Layout(
        "PVLR (THUMOS14)", ("vAttn.AE_e.0.weight", "snippet_prob_encoder.fc_mean.weight"), "pvlr",
        {**_consensus(True, _PVLR_BASE), **_PVLR_TAIL, "snippet_prob_encoder.fc_mean": "mean",
         "snippet_prob_encoder.fc_var": "spread", "embedding": "prompt"},
        lambda s: {**_widths(s, _PVLR_BASE), "joint": s["mean.weight"].shape[0]},
    ),
    Layout(
        "PVLR (ActivityNet)", ("vAttn.channel_conv.0.weight", "snippet_prob_encoder.mu_enc.weight"), "pvlr",
        {**_consensus(False, _PVLR_BASE), **_PVLR_TAIL, "snippet_prob_encoder.mu_enc": "mean",
         "snippet_prob_encoder.var_enc.0": "spread.0", "snippet_prob_encoder.var_enc.3": "spread.3",
         "embedding": "prompt"},
        lambda s: {**_widths(s, _PVLR_BASE), "joint": s["mean.weight"].shape[0]},
    ),
    Layout(
        "Boosting-WTAL", ("vAttn.AE_e.0.weight",),
        refusal="its classes are text queries, which this version cannot read; PVLR's weights, which have the same "
                "attentions, also have snippet_prob_encoder.*",
    ),
    Layout(
        "CO2-Net or DELU", ("vAttn.channel_conv.0.weight", "classifier.4.weight"), "co2",
        {**_consensus(False), "classifier.1": "fusion.1.conv", "classifier.4": "classifier"}, _widths,
    ),
    Layout(
        "BaS-Net", ("filter_module.conv_1.0.weight",), "basnet",
        {"filter_module.conv_1.0": "filter.0.conv", "filter_module.conv_2.0": "filter.1",
         "cas_module.conv_1.0": "embed.0.conv", "cas_module.conv_2.0": "embed.1.conv",
         "cas_module.conv_3.0": "classifier"},
        lambda s: {**_halves(s["filter.0.conv.weight"].shape[1]), "filter_width": s["filter.0.conv.weight"].shape[0]},
    ),
    Layout(
        "UM", ("cas_module.classifier.0.weight",), "um",
        {"cas_module.conv.0": "embed.conv", "cas_module.classifier.0": "classifier"},
        lambda s: _halves(s["embed.conv.weight"].shape[1]),
    ),
    Layout(
        "LACP", ("cls_module.classifier.0.weight",), "lacp",
        {"cls_module.conv_1.0": "embed.conv", "cls_module.classifier.0": "classifier"},
        lambda s: _halves(s["embed.conv.weight"].shape[1]),
    ),
    Layout(
        "CoLA", ("actionness_module.f_embed.0.weight",), "cola",
        {"actionness_module.f_embed.0": "embed.conv", "actionness_module.f_cls.0": "classifier"},
        lambda s: _halves(s["embed.conv.weight"].shape[1]),
    ),
    Layout(
        "AICL", ("actionness_module.base_module.0.weight",), "aicl",
        {"actionness_module.base_module.0": "embed.conv", "actionness_module.cls.0": "classifier",
         "actionness_module.action_module_rgb.0": "rgb.hidden.conv", "actionness_module.cls_rgb": "rgb.logit",
         "actionness_module.action_module_flow.0": "flow.hidden.conv", "actionness_module.cls_flow": "flow.logit"},
        lambda s: {**{k: s[f"{k}.hidden.conv.weight"].shape[1] for k in ("rgb", "flow")},
                   "hidden": s["embed.conv.weight"].shape[0]},
    ),
    Layout(
        "HAM-Net", ("net.classifier.*.weight", "net.attention.*.weight"), "hamnet",
        {f"net.{part}.#{i}": ours for part, places in
         (("classifier", ("embed.0.conv", "embed.1.conv", "classifier")),
          ("attention", ("hidden.0.conv", "hidden.1.conv", "logit"))) for i, ours in enumerate(places)},
        lambda s: {**_halves(s["embed.0.conv.weight"].shape[1]), "attention_width": s["hidden.0.conv.weight"].shape[0]},
    ),
    *(
        Layout(f"ActionFormer with {what}", (*_FORMER, mark), refusal="import reads its pyramid of local attention "
               "without position encodings or a top-down path, as published for THUMOS14")
        for what, mark in (("a top-down path (fpn_type: fpn)", "neck.lateral_convs.0.conv.weight"),
                           ("relative positions (use_rel_pe)", "backbone.stem.0.attn.rel_pe"),
                           ("a projection of each stream (input_dim is a list)", "backbone.proj.0.conv.weight"),
                           ("convolutions for attention (backbone_type: conv)", "backbone.stem.0.conv1.conv.weight"))
    ),
    Layout("ActionFormer", (*_FORMER, "reg_head.offset_head.conv.weight", "neck.fpn_norms.0.weight"), "actionformer",
           _former(), _former_config, key="state_dict_ema"),
    Layout(
        "STPN", ("Attention.dense.kernel", "Classification.class_weight.kernel"), "stpn",
        {"Attention.dense": "attention.{stream}.hidden", "Attention.dense_1": "attention.{stream}.logit",
         "Classification.class_weight": "classifier.{stream}"},
    ),
    Layout(
        "DGAM", ("att_head.fc1.weight", "clf_head.fc1.weight"), "stpn",
        {"att_head.fc1": "attention.{stream}.hidden", "att_head.fc2": "attention.{stream}.logit",
         "clf_head.fc1": "classifier.{stream}"},
        settings={"pooling": "attention", "probability": "softmax", "background": True},
    ),
)  # fmt: skip


def detect(keys: Iterable[str]) -> Layout | None:
    """Return the first layout all of whose marks are among the keys; "*" stands for a number."""
    present = set(keys) | {_starred(k) for k in keys}
    return next((x for x in LAYOUTS if present.issuperset(x.marks)), None)


def module_names(layout: Layout, keys: Iterable[str], stream: str = "") -> dict[str, str]:
    """Map public modules to ours for one file: "#i" is the i-th place that has weights, {stream} the stream."""
    table = {}
    for theirs, ours in (layout.modules or {}).items():
        name = theirs
        if "#" in theirs:
            # Dropouts between the layers shift the numbers from release to release; the order stays.
            start, _, place = theirs.partition("#")
            numbers = sorted(
                int(k[len(start) :].split(".")[0]) for k in keys if k.startswith(start) and k.endswith(".weight")
            )
            name = f"{start}{numbers[int(place)]}" if int(place) < len(numbers) else theirs
        table[name] = ours.replace("{stream}", stream)
    return table


def _starred(key: str) -> str:
    return ".".join("*" if part.isdigit() else part for part in key.split("."))
