"""RGB and flow, as published: networks compute what they did before streams had names (revision 8e8cb64).

`golden/two_streams.json` has that revision's loss terms, outputs and names of tensors.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tal_engine.lab.methods import load_method
from tal_engine.lab.nn.hashed_text import HashedText
from tests.learning import NAMES, a_batch, small_config

STORED = json.loads((Path(__file__).parents[2] / "golden" / "two_streams.json").read_text())


@pytest.mark.parametrize("case", STORED)
def test_published_streams_are_computed_as_ever(case):
    """Loss terms of three steps, outputs after them; other CPUs round otherwise, hence the tolerance."""
    name, _, changes = case.partition(" ")
    method, stored = load_method(name), STORED[case]
    config = small_config(method, **json.loads(changes))
    torch.manual_seed(0)
    net = method.build(config, NAMES, HashedText(128, 0) if method.uses_text else None).train()
    assert sorted(net.state_dict()) == stored["tensors"]
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=1e-3)
    for step, wanted in enumerate(stored["terms"]):
        terms = net.loss(a_batch(method, seed=step), step)
        assert {k: v.item() for k, v in terms.items()} == pytest.approx(wanted, rel=1e-3, abs=1e-5)
        optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        optimizer.step()
    frozen, batch = method.freeze(net.eval()), a_batch(method, seed=9)
    with torch.no_grad():
        out = frozen(**{s: batch.streams[s] for s in method.inference_streams(config)})
    assert {k: float(v.double().abs().sum()) for k, v in out.items()} == pytest.approx(stored["outputs"], rel=1e-3)
