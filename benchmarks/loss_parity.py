"""Loss terms beside slow twins on the same random tensors: differences of values and of gradients.

    python benchmarks/loss_parity.py

PVLR's recipes `*-code` stand beside two things: the twin of its public code in tests/reference/pvlr.py, and the figures
that the public code itself gave once for the same tensors (tests/reference/pvlr.json; the code is not needed). The
recipes of the paper stand beside the twin of its equations. Differences are relative, the largest over the seeds; a
gradient's is the norm of the difference by the norm. Of the public code a gradient is known by one projection.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from common import store
from torch import Tensor

from tal_engine.lab.methods import load_method, pvlr_losses

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.reference import pvlr as twin

NAME = "loss_parity"
SEEDS = (0, 1, 2)
#: Inputs that gradients go to.
LEARNED = ("mean", "variance", "attention", "text")
#: Recipe -> twin, and whether background is one of the texts of L_ortho.
TWINS = {
    "thumos14": (twin.Paper(), False),
    "thumos14-code": (twin.Code(symmetric=True), True),
    "activitynet-code": (twin.Code(symmetric=False), True),
}


def leaves(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies; those of `LEARNED` want gradients."""
    return {k: v.clone().requires_grad_(k in LEARNED) for k, v in tensors.items()}


def gradients(value: Tensor, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a term, by input; inputs that it does not read are left out."""
    names = [k for k in LEARNED if tensors[k].requires_grad]
    found = torch.autograd.grad(value, [tensors[k] for k in names], retain_graph=True, allow_unused=True)
    return {k: g for k, g in zip(names, found, strict=True) if g is not None}


def pvlr_terms(config: Any, x: Mapping[str, Tensor], indices: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our unweighted terms of `twin.inputs`."""
    sets = {
        k: tuple(x[of].gather(1, i[..., None].expand(-1, -1, x[of].shape[-1])) for of in ("mean", "variance"))
        for k, i in indices.items()
    }
    action, background = pvlr_losses.intra(sets, config)
    text = x["text"] if config.ortho_background else x["text"][:-1]
    return {
        "kd": pvlr_losses.distillation(x["mean"], x["image"], config),
        "ortho": pvlr_losses.orthogonality(text, config),
        "intra_action": action,
        "intra_background": background,
        "inter": pvlr_losses.inter(x["mean"], x["variance"], x["attention"], x["labels"], config),
    }


def compared(recipe: str, seed: int) -> dict[str, dict[str, float]]:
    """By term: value, and differences from the twin and from the public code's stored figures."""
    method = load_method("pvlr")
    config = method.Config(**method.RECIPES[recipe].config)
    slow, background = TWINS[recipe]
    raw, indices = twin.inputs(seed)
    a, b = leaves(raw), leaves(raw)
    wanted, found = twin.terms(slow, a, indices, background), pvlr_terms(config, b, indices)
    public = twin.PUBLIC.get(recipe, [{}] * (seed + 1))[seed]
    rows = {}
    for term, value in found.items():
        ours, theirs = gradients(value, b), gradients(wanted[term], a)
        row = {
            "value": value.item(),
            "value_difference": _relative(value.item(), wanted[term].item()),
            "gradient_difference": max(float((ours[k] - g).norm() / g.norm()) for k, g in theirs.items()),
        }
        if term in public:
            known = public[term]["gradient"]
            projected = {k: float((ours[k] * twin.probe(ours[k])).sum()) for k in known}
            row["public_value_difference"] = _relative(value.item(), public[term]["value"])
            row["public_gradient_difference"] = max(_relative(projected[k], v) for k, v in known.items())
        rows[term] = row
    return rows


def _relative(a: float, b: float) -> float:
    return abs(a - b) / abs(b)


def worst(recipe: str) -> dict[str, dict[str, float]]:
    """Largest differences over the seeds, and the value of the first one."""
    runs = [compared(recipe, seed) for seed in SEEDS]
    return {
        term: {k: v if k == "value" else max(run[term][k] for run in runs) for k, v in first.items()}
        for term, first in runs[0].items()
    }


def main() -> None:
    figures = {
        "seeds": len(SEEDS),
        "public": twin.PUBLIC["source"],
        "pvlr": {recipe: worst(recipe) for recipe in TWINS},
    }
    print(json.dumps(store(NAME, figures)))


if __name__ == "__main__":
    main()
