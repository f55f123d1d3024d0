"""Key layouts of public releases (methods.md 9): how to tell them apart, and which of our tensors each key is.

Tables go from the public module to ours; ".weight" and ".bias" follow it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Layout:
    """One public layout.

    marks: keys that tell it from the others. modules: public module -> ours. config: fields that the
    tensors, by our names, imply. refusal: why it is recognised but not read.
    """

    title: str
    marks: tuple[str, ...]
    method: str = ""
    modules: Mapping[str, str] | None = None
    config: Callable[[State], dict[str, Any]] = lambda _: {}
    refusal: str = ""


def _consensus(autoencoded: bool, base: str = "") -> dict[str, str]:
    """CO2-Net's two attentions; vAttn has RGB as its main stream."""
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
    Layout(
        "STPN", ("Attention.dense.kernel", "Classification.class_weight.kernel"), "stpn",
        {"Attention.dense": "attention.{stream}.hidden", "Attention.dense_1": "attention.{stream}.logit",
         "Classification.class_weight": "classifier.{stream}"},
    ),
)  # fmt: skip


def detect(keys: Iterable[str]) -> Layout | None:
    """The first layout all of whose marks are among the keys; "*" stands for a number."""
    present = set(keys) | {_starred(k) for k in keys}
    return next((x for x in LAYOUTS if present.issuperset(x.marks)), None)


def module_names(layout: Layout, keys: Iterable[str], stream: str = "") -> dict[str, str]:
    """Public module -> ours for one file: "#i" is the i-th place that has weights, {stream} the stream."""
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
