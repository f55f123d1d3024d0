"""Structs that C++ and Python both have say the same where nothing is said."""

from __future__ import annotations

import inspect
from dataclasses import MISSING, fields

import pytest

from tal_engine import _core, ops
from tal_engine.options import BoundaryOptions, NmsOptions, ProposalOptions, SourceOptions

#: What has to be given has no default on either side.
SOURCE = {"of": _core.Of.cas, "thresholds": [0.5]}


def plain(value):
    """An enum of the core as Python's options have it."""
    return getattr(value, "name", value)


def of_core(struct, skip=()):
    """The fields of a struct of the core, by name."""
    names = [n for n, v in vars(type(struct)).items() if isinstance(v, property) and n not in skip]
    return {n: plain(getattr(struct, n)) for n in names}


def of_python(options, skip=()):
    return {f.name: f.default for f in fields(options) if f.name not in skip and f.default is not MISSING}


@pytest.mark.parametrize(
    ("core", "options", "given"),
    [
        (_core.NmsOptions(), NmsOptions, ()),
        (_core.SourceOptions(thresholds=[0.5]), SourceOptions, ("of", "thresholds")),
        (_core.ProposalOptions(sources=[]), ProposalOptions, ("sources",)),
    ],
)
def test_mirrored_structs(core, options, given):
    assert of_core(core, given) == of_python(options, given)
    assert {f.name for f in fields(options)} == set(of_core(core))


def test_boundaries_are_capped_by_the_stage_only():
    """`options.BoundaryOptions` is of the stage, which scores 500 pairs at most; the core's rule keeps all."""
    core, stage = of_core(_core.BoundaryOptions()), of_python(BoundaryOptions)
    assert (core.pop("top_k"), stage["top_k"]) == (0, 500)
    assert core == {name: stage[name] for name in core}


@pytest.mark.parametrize(
    ("call", "core"),
    [(ops.boundary_pairs, _core.BoundaryOptions()), (ops.average_precision, _core.ApOptions(thresholds=[0.5]))],
)
def test_functions_have_the_defaults_of_their_struct(call, core):
    said = {n: p.default for n, p in inspect.signature(call).parameters.items() if p.default is not p.empty}
    struct = of_core(core, ("thresholds",))
    assert {n: said[n] for n in struct} == struct


def test_a_struct_of_the_core_keeps_what_it_is_given():
    given = {"kind": _core.NmsKind.hard, "sigma": 0.7, "threshold": 0.25, "top_k": 3, "class_agnostic": True}
    made = _core.NmsOptions(**given)
    assert {n: getattr(made, n) for n in given} == given
    native = ops.native_nms_options(NmsOptions(kind="linear", min_score=0.5))
    assert (native.kind, native.min_score) == (_core.NmsKind.linear, 0.5)
    source = _core.SourceOptions(**SOURCE, outer_ratio=0.5)
    assert _core.ProposalOptions(sources=[source], upsample=2).sources[0].outer_ratio == 0.5
    with pytest.raises(AttributeError):
        made.sigma = 1.0


def test_the_functions_of_the_core_keep_theirs():
    """Of what has no struct on one side: signatures are compared as text, as pybind11 writes them."""
    for name in ("max_sweeps", "kappa", "floor"):
        call = ops.constrained_kmedoids if name == "max_sweeps" else ops.mine_actions
        default = inspect.signature(call).parameters[name].default
        assert f"{name}: " in getattr(_core, call.__name__).__doc__
        assert f"= {default}" in getattr(_core, call.__name__).__doc__
    for name in ("max_average", "steps"):
        default = inspect.signature(ops.average_recall).parameters[name].default
        assert f"= {default}" in _core.average_recall.__doc__
