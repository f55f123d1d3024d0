"""Checkpoints that are older than a field of their method's config go on doing what they did."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest
import torch

from tal_engine.lab.methods import METHODS, earlier_of, load_method, uses_points
from tal_engine.lab.training import checkpoint
from tests.learning import NAMES, OPTIONS, WIDTH, run_fit, small_config
from tests.unit.methods.test_apn import sampler as with_points

OLD = sorted(name for name in METHODS if earlier_of(load_method(name)))


def stripped(folder, fields):
    """The checkpoint's file without some fields of the config, as a version wrote it that did not have them."""
    path = folder / "checkpoint.json"
    document = json.loads(path.read_text())
    for name in fields:
        del document["config"][name]
    path.write_text(json.dumps(document))


def test_there_are_some_and_their_values_are_allowed():
    assert {"apn", "distill_collab", "vlpo"} <= set(OLD)
    for name in OLD:
        method = load_method(name)
        method.Config(**earlier_of(method))
        assert set(earlier_of(method)) <= set(asdict(method.Config()))
        assert any(getattr(method.Config(), k) != v for k, v in earlier_of(method).items())


@pytest.mark.parametrize("name", OLD)
def test_a_checkpoint_without_the_fields_does_what_it_did(tmp_path, text, name):
    """Same config, outputs and suppression, and it can be trained on. (Plans carry all of that and read no config.)"""
    method = load_method(name)
    config = small_config(method, **earlier_of(method))
    points = {"points": "uniform", "sampling": "full"} if uses_points(method) else {}
    options = replace(OPTIONS, steps=2, pairs=0, **points)
    more = {"batches": with_points()} if points else {}
    net = run_fit(tmp_path, text, options, method=name, config=config, **more).net.eval()
    stripped(tmp_path, earlier_of(method))
    found = checkpoint.load(tmp_path)
    assert found.config == config
    assert method.nms_options(found.config) == method.nms_options(config)
    widths = {"rgb": WIDTH, "flow": WIDTH, "clip": 128}
    streams = {s: torch.randn(1, 20, widths[s]) for s in method.inference_streams(config)}
    with torch.no_grad():
        wanted, got = (method.freeze(n)(**streams) for n in (net, found.network()))
    assert all(torch.equal(wanted[k], got[k]) for k in wanted)
    options = replace(options, steps=3)
    assert run_fit(tmp_path, text, options, method=name, config=config, resume=True, **more).step == 3


@pytest.mark.parametrize("name", OLD)
def test_a_field_that_a_checkpoint_has_is_its_own(tmp_path, text, name):
    method = load_method(name)
    config = small_config(method)
    points = {"points": "uniform", "sampling": "full"} if uses_points(method) else {}
    more = {"batches": with_points()} if points else {}
    run_fit(tmp_path, text, replace(OPTIONS, steps=1, pairs=0, **points), method=name, config=config, **more)
    assert checkpoint.load(tmp_path).config == config
    assert list(NAMES) == list(checkpoint.load(tmp_path).vocabulary)
