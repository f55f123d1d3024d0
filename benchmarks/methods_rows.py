"""The rows of bench_methods: every method and base head, and the variants of each paper's own tables.

Tables are numbered as in a method's paper. A table's row "as it is" is the method's row of the simulator; it is not
trained again. PVLR's own tables are those of bench_accuracy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from accuracy_simulator import TABLE_6
from variants import Variant

from tal_engine.lab.methods import METHODS, load_method
from tal_engine.lab.training.recipe import recipe

#: Title of each method's row.
TITLES = {
    "pvlr": "PVLR", "distill_collab": "CBP+VLP", "vlpo": "VLPO", "tsm_vlc": "TSM+VLC", "apn": "APN (points)",
    "pser": "PseR (points)",
    "co2": "CO2-Net", "basnet": "BaS-Net", "cola": "CoLA", "um": "UM", "hamnet": "HAM-Net", "aicl": "AICL",
    "stpn": "STPN", "lacp": "LACP (points)", "transformer": "transformer (CBP alone)",
}  # fmt: skip
#: Those of the five papers; they have a card in docs/methods.
PAPERS = ("pvlr", "distill_collab", "vlpo", "tsm_vlc", "apn")
#: Those that came later, with a card too.
LATER = ("pser",)
EVERY: dict[str, Variant] = {name: Variant(name) for name in TITLES}


def _own(head: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What a base head changes of its config on the simulator, and its training options there."""
    return recipe(load_method(head), "simulator")


def _branch(head: str) -> Variant:
    """CBP+VLP with a base head as its CBP branch, and the pairs of videos that this head reads."""
    config, train = _own(head)
    deltas = {"delta_high": 0.4, "delta_low": 0.1} if head == "um" else {}  # chosen on another simulated world
    changes = {"cbp": head, "cbp_options": config, **deltas}
    return Variant("distill_collab", changes, train={"pairs": train["pairs"]})


def _hosted(head: str, **changes: Any) -> Variant:
    """TSM, VLC or both on a base head, at the rate that the head trains with."""
    config, train = _own(head)
    rate = {"learning_rate": train["learning_rate"]}
    return Variant("tsm_vlc", {"base": head, "base_options": config, **changes}, train=rate)


_TSM, _VLC = {"consistency": "none"}, {"text_query": False}

_CBP_VLP = recipe(load_method("distill_collab"), "simulator")
_ONLY_B = {"mode": "only_b", "warm_up": _CBP_VLP.train["steps"] - _CBP_VLP.config["b_steps"]}


def _collab(location: float, **changes: Any) -> Variant:
    """CBP+VLP cut at a location threshold: each row's own best one, of another simulated world."""
    cut = {**_CBP_VLP.config["cbp_options"], "location_threshold": location}
    return Variant("distill_collab", {"cbp_options": cut, **changes})


#: Group -> row -> variant.
ABLATIONS: dict[str, dict[str, Variant]] = {
    # Its Tables 4 and 5.
    "distill_collab": {
        "CBP alone, as many steps": _collab(0.5, warm_up=_CBP_VLP.train["steps"]),
        "VLP alone (plain CLIP)": _collab(0.6, mode="only_f", fusion="weighted", fusion_weight=0.0),
        "only F": _collab(0.6, mode="only_f"),
        "only B (VLP)": _collab(0.2, **_ONLY_B, fusion="weighted", fusion_weight=0.0),
        "only F, average": _collab(0.6, mode="only_f", fusion="average"),
        "only F, weighted": _collab(0.6, mode="only_f", fusion="weighted"),
        "only B, average": _collab(0.4, **_ONLY_B, fusion="average"),
        "only B, weighted": _collab(0.3, **_ONLY_B, fusion="weighted"),
        "B then F, average": _collab(0.3, fusion="average"),
        "L_kd alone": _collab(0.4, fb_weight=0.0),
        "L_fb alone": _collab(0.5, kd_weight=0.0),
        # Its equations as printed, where the recipe has other values.
        "softmax in L_cls (Eq. 1)": Variant(
            "distill_collab", {"cbp_options": {**_CBP_VLP.config["cbp_options"], "classification": "softmax"}}
        ),
        "dot products and a softmax in P_vl (Eq. 3)": Variant(
            "distill_collab", {"vlp_similarity": "dot", "vlp_probability": "softmax"}
        ),
        "F steps without L_cls (Eq. 5)": Variant("distill_collab", {"cls_weight": 0.0}),
        "dot products in L_fb (Eq. 7)": Variant("distill_collab", {"contrast_similarity": "dot"}),
        "sum over anchors in L_fb (Eq. 7)": Variant("distill_collab", {"contrast_reduction": "sum"}),
        "L_fb as printed (Eq. 7)": Variant(
            "distill_collab", {"contrast_similarity": "dot", "contrast_reduction": "sum"}
        ),
    },
    # Its Tables 3 and 4.
    "vlpo": {
        "without DSP": Variant("vlpo", {"dsp": False}),
        "without PPG": Variant("vlpo", {"ppg": False}),
        "without APR": Variant("vlpo", {"apr": False}),
        "without L_kl": Variant("vlpo", {"kl_weight": 0.0}),
        "CLIP-Adapter": Variant("vlpo", {"adaptation": "clip_adapter"}),
        "training-free": Variant("vlpo", {"adaptation": "training_free"}),
        "zero-shot": Variant("vlpo", {"adaptation": "zero_shot"}, trained=False),
        "baseline": Variant("vlpo", load_method("vlpo").RECIPES["baseline"].config),
        # Its equations as printed, where the recipe has other values.
        "top k of A in L_mil (3.1)": Variant("vlpo", {"mil_pooling": "cas"}),
        "L_kl by snippet (Eq. 4)": Variant("vlpo", {"kl_reduction": "snippets"}),
        "logits and a sum in A + S (Eq. 5, 8)": Variant("vlpo", {"hybrid_cas": "logits", "hybrid_action": "sum"}),
        "factor 1 on M (Eq. 6)": Variant("vlpo", {"vl_scale": 1.0}),
        "S^a counts once (Eq. 13)": Variant("vlpo", {"gce_on": "mean"}),
        "soft suppression (A.1)": Variant("vlpo", {"suppression": "soft", "nms_length_offset": 0.0}),
        "the paper's alphas and Eq. 1": Variant("vlpo", {"high": 0.9, "low": 0.25, "positives": "action"}),
    },
    # Its Tables 3 to 6.
    "tsm_vlc": {
        "TSM alone (no consistency, no VLC)": Variant("tsm_vlc", _TSM),
        "VLC alone (no text queries)": Variant("tsm_vlc", _VLC),
        "neither": Variant("tsm_vlc", {**_TSM, **_VLC}),
        "without L_c (contrast)": Variant("tsm_vlc", {"contrast_weight": 0.0}),
        "consistency: shared": Variant("tsm_vlc", {"consistency": "shared"}),
        "consistency: KL": Variant("tsm_vlc", {"consistency": "kl"}),
        "consistency: MAE": Variant("tsm_vlc", {"consistency": "mae"}),
        "handcrafted prompt": Variant("tsm_vlc", {"prompt": "handcraft"}),
        "GRU reconstructor": Variant("tsm_vlc", {"reconstructor": "gru"}),
        "LSTM reconstructor": Variant("tsm_vlc", {"reconstructor": "lstm"}),
        "unmasked words (public code)": Variant("tsm_vlc", {"masking": "none"}),
        "weights inside the softmax (Eq. 6)": Variant("tsm_vlc", {"weighting": "inside"}),
        "one head (Eq. 6, 7)": Variant("tsm_vlc", {"vlc_heads": 1}),
        "no label smoothing (Eq. 9)": Variant("tsm_vlc", {"label_smoothing": 0.0}),
        "L_rec of att_r alone (Eq. 9)": Variant("tsm_vlc", {"learn_whole": False}),
        "all parts learn from all terms (Eq. 12)": Variant("tsm_vlc", {"updates": "joint"}),
        "without cross-modal errors (not in the paper)": Variant(
            "tsm_vlc", {"vlc_reconstruction_weight": 0.0, "base_options": {"reconstruction_weight": 0.0}}
        ),
    },
    # Its Table 4, and what its text leaves open.
    "apn": {
        "without L_CTR": Variant("apn", {"ctr_weight": 0.0}),
        "borders by k-medoids": Variant("apn", {"sweeps": 100}),
        "background by the medoid": Variant("apn", {"profile": "medoid"}),
        "score: class alone": Variant("apn", {"score": "class"}),
        "score: confidence alone": Variant("apn", {"score": "confidence"}),
        # Its equations as printed, where the recipe has other values.
        "dot products in L_c (Eq. 1)": Variant("apn", {"contrast_similarity": "dot"}),
        "sum over anchors in L_CTR (Eq. 2)": Variant("apn", {"contrast_reduction": "sum"}),
        "positive terms alone in L_PEM (Eq. 3)": Variant("apn", {"pem_terms": "positive"}),
        "confidence learns the class (Eq. 3)": Variant("apn", {"confidence_target": "class"}),
        "single snippets are clustered (3.3)": Variant("apn", {"smoothing": 1}),
        "features are not centred (3.3)": Variant("apn", {"centred": False}),
        "confidence is the cosine (3.4)": Variant("apn", {"confidence": "cosine"}),
        "proposals without pseudo-instances (3.6)": Variant("apn", {"own_instances": False}),
    },
}

#: PseR's own question: what its pseudo-labels add to the seeds of LACP, which the same detector learns from.
ABLATIONS["pser"] = {
    "seeds as they are": Variant("pser", {"refine_steps": 0}, train={"steps": 1050}),
    "the best segment alone": Variant("pser", {"best": 1}),
}

#: CBP+VLP where CLIP covers twice its actions; location thresholds as above, chosen on another world of the kind.
SURROUNDED: dict[str, Variant] = {
    "CBP alone, as many steps": _collab(0.5, warm_up=_CBP_VLP.train["steps"]),
    "VLP alone (plain CLIP)": _collab(0.7, mode="only_f", fusion="weighted", fusion_weight=0.0),
    "only F": _collab(0.7, mode="only_f"),
    "only F, average": _collab(0.7, mode="only_f", fusion="average"),
    "only B (VLP)": _collab(0.2, **_ONLY_B, fusion="weighted", fusion_weight=0.0),
    "B then F": _collab(0.5),
    "B then F, average": _collab(0.5, fusion="average"),
}

#: Method -> host head -> row -> variant. The host alone is its row of the simulator.
PLUG_INS: dict[str, dict[str, dict[str, Variant]]] = {
    # Its Table 6.
    "pvlr": {"basnet": {"+ PVLR": TABLE_6["BaS-Net + PVLR"]}, "cola": {"+ PVLR": TABLE_6["CoLA + PVLR"]}},
    # Its Table 6.
    "distill_collab": {head: {"+ CBP+VLP": _branch(head)} for head in ("um", "co2")},
    # Its Table 8.
    "tsm_vlc": {
        head: {"+ TSM": _hosted(head, **_TSM), "+ VLC": _hosted(head, **_VLC), "+ both": _hosted(head)}
        for head in ("basnet", "hamnet")
    },
}

#: Part -> name of a row in the results -> variant.
PARTS: dict[str, dict[str, Variant]] = {
    "simulator": EVERY,
    "procedural": EVERY,
    "ablations": {f"{group}: {row}": v for group, rows in ABLATIONS.items() for row, v in rows.items()},
    "surroundings": {f"distill_collab: {row}": v for row, v in SURROUNDED.items()},
    "plugins": {
        f"{host} {row}": v for hosts in PLUG_INS.values() for host, rows in hosts.items() for row, v in rows.items()
    },
}


def known(part: str) -> dict[str, Variant]:
    """The rows of a part whose method exists."""
    return {name: v for name, v in PARTS[part].items() if v.method in METHODS}
