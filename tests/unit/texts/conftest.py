from __future__ import annotations

import pytest


@pytest.fixture(scope="session")
def text_plan_file(tmp_path_factory):
    """A plan of the small image-text pair, which knows the drawn world; its classes are texts."""
    pytest.importorskip("torch")
    from tal_engine.export.encoder_graphs import tiny_encoders
    from tal_engine.export.text_tower import text_plan
    from tal_engine.plan.archive import write_plan

    path = tmp_path_factory.mktemp("texts") / "zs.plan"
    plan = text_plan(tiny_encoders(["clip"]), name="zs", prompts=("a person doing {}",), scale=10.0)
    write_plan(path, plan)
    return path


@pytest.fixture(scope="session")
def drawn_videos():
    """Features of the pair's image tower of procedural videos, and their instances."""
    pytest.importorskip("torch")
    import text_classes

    return {f"v{i}": text_classes.drawn("test", 1, i) for i in (0, 1)}
