"""How usual a video is: fitted on few videos, kept in a plan, told by results and streams."""

from __future__ import annotations

import json
import logging

import av
import numpy as np
import pytest
import torch
from scipy import stats

from tal_engine import TALEngine
from tal_engine.errors import FeatureError, PlanError, PlanFault, UsageError
from tal_engine.export.fit_domain import fit_domain, student
from tal_engine.export.online import online_plan
from tal_engine.inference.domain import DomainModel
from tal_engine.lab.online.network import OnlineConfig, OnlineHead
from tal_engine.lab.online.stem import TeacherStem
from tal_engine.options import StreamOptions
from tal_engine.plan.archive import parse_plan, plan_bytes, with_calibration
from tal_engine.plan.manifest import parse_manifest
from tal_engine.plan.online_fields import OnlineOptions
from tests.makers import tiny_plan

WIDTHS = {"rgb": 40, "flow": 24}


def video(rng, count=40, shift=0.0, widths=WIDTHS):
    """Features that lie near a plane of a few directions, another place in it for each video."""
    basis = {n: np.random.default_rng(len(n)).normal(0, 1, (5, w)) for n, w in widths.items()}
    place = rng.normal(0, 1, 5)
    made = {}
    for name, width in widths.items():
        x = (place + rng.normal(0, 0.7, (count, 5))) @ basis[name]
        made[name] = (x + rng.normal(0, 0.3, (count, width)) + shift + 2.0).astype(np.float32)
    return made


def videos(count, seed=0, **how):
    rng = np.random.default_rng(seed)
    return [video(rng, **how) for _ in range(count)]


@pytest.mark.parametrize("count", [12, 60])
def test_shares_of_further_videos_are_even_and_other_videos_are_told(count):
    model = fit_domain(videos(count))
    shares = np.array([model.share(v) for v in videos(200, seed=1)])
    assert 0.3 < shares.mean() < 0.7
    assert (shares < 0.05).mean() < 0.12
    assert (shares < 0.01).mean() < 0.05
    assert max(model.share(v) for v in videos(20, seed=2, shift=1.0)) < model.record.warn_below
    assert model.record.videos == count


def test_a_few_snippets_that_are_like_none_count_as_much_as_there_are_of_them():
    model = fit_domain(videos(30))
    usual, other = videos(1, seed=5)[0], videos(1, seed=6, shift=2.0)[0]
    mixed = {n: np.concatenate([usual[n], other[n][:10]]) for n in usual}
    assert model.share(other) <= model.share(mixed) < model.share(usual)
    assert len(model.distances(mixed)) == 50
    assert model.distances(mixed)[:40].max() < model.distances(mixed)[40:].min()


def test_student_is_scipys():
    for freedom in (3, 11, 60):
        for share in (0.5, 0.1, 0.01, 1e-4):
            assert student(share, freedom) == pytest.approx(stats.t.isf(share, freedom), rel=2e-3, abs=1e-4)


def test_what_cannot_be_fitted_is_refused():
    with pytest.raises(FeatureError, match="from 3 videos; at least 4"):
        fit_domain(videos(3))
    with pytest.raises(FeatureError, match="'clip', a video has"):
        fit_domain(videos(5), ["clip"])
    with pytest.raises(FeatureError, match="a video has no features"):
        fit_domain([*videos(5), {n: np.zeros((0, w), np.float32) for n, w in WIDTHS.items()}])
    with pytest.raises(UsageError, match="folds is 1"):
        fit_domain(videos(5), folds=1)
    with pytest.raises(UsageError, match=r"warn_below is 0\.7"):
        fit_domain(videos(5), warn_below=0.7)


def test_constant_features_are_no_error():
    model = fit_domain([{"rgb": np.ones((9, 6), np.float32)}] * 6)
    assert np.isfinite(model.share({"rgb": np.ones((9, 6), np.float32)}))
    assert model.share({"rgb": np.full((9, 6), 3.0, np.float32)}) < 0.01


def test_wide_streams_stay_under_the_size_limit():
    rng = np.random.default_rng(0)
    model = fit_domain([{"rgb": rng.normal(size=(20, 4096)).astype(np.float32)} for _ in range(8)])
    assert len(model.stored()[1]) <= 300_000


RGB = {"rgb": 4}


def of_head(count, seed=0, shift=0.0):
    return videos(count, seed=seed, shift=shift, widths=RGB)


@pytest.fixture(scope="module")
def plan():
    model = fit_domain(of_head(20), fitted_on="drawn videos")
    return parse_plan(plan_bytes(with_calibration(tiny_plan(), domain=model.stored())))


@pytest.fixture(scope="module")
def engine(plan):
    return TALEngine(plan, "cpu", threads=1)


def test_a_plan_carries_it(plan):
    model, kept = fit_domain(of_head(20), fitted_on="drawn videos"), DomainModel.of(plan)
    assert kept.record == model.record
    np.testing.assert_array_equal(kept.arrays, model.arrays)
    assert DomainModel.of(tiny_plan()) is None
    again = with_calibration(plan, domain=fit_domain(of_head(9)).stored())
    assert again.manifest.domain.videos == 9
    assert sorted(again.files) == sorted(plan.files)


def test_results_say_how_usual_a_video_is(engine, plan, tmp_path):
    usual, other = engine.localize(of_head(1, seed=3)[0]), engine.localize(of_head(1, seed=3, shift=9.0)[0])
    assert usual.info.domain > 0.01 > other.info.domain >= 0
    assert (usual.info.out_of_domain, other.info.out_of_domain) == (False, True)
    assert not any("unlike" in w for w in usual.info.warnings)
    (told,) = (w for w in other.info.warnings if "unlike anything that plan tiny was trained on" in w)
    assert "tal fit" in told
    assert other.to_dict()["info"]["domain"] == other.info.domain
    external = other.to_activitynet()["external_data"]
    assert external["domain"] == {"features": round(other.info.domain, 6)}
    assert external["warnings"]["features"] == other.info.warnings
    other.to_jsonl(tmp_path / "a.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert {r["domain"] for r in rows} == {round(other.info.domain, 6)}
    assert f"domain {other.info.domain:.3f}" in other._repr_html_()
    plain = TALEngine(tiny_plan(), "cpu", threads=1).localize(of_head(1, seed=3)[0])
    assert plain.info.domain is None
    assert "domain" not in plain.to_activitynet()["external_data"]
    assert plain.segments == usual.segments


def test_pictures_say_it(engine, tmp_path):
    usual, other = engine.localize(of_head(1, seed=3)[0]), engine.localize(of_head(1, seed=3, shift=9.0)[0])
    other.plot(tmp_path / "a.svg")
    usual.plot(tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_text().count("unlike anything this plan was trained on") == 1
    assert "unlike" not in (tmp_path / "b.svg").read_text()


def test_annotated_video_says_it(engine, tmp_path):
    from tal_engine.outputs.render import overlay
    from tal_engine.outputs.render.panel import Panel

    frames = [(i / 25, np.zeros((240, 320, 3), np.uint8)) for i in range(3)]
    top = Panel(240, 320).lane(0)[0]
    for shift, said in ((0.0, False), (9.0, True)):
        overlay.write(tmp_path / "a.mp4", engine.localize(of_head(1, seed=3, shift=shift)[0]), frames, 25)
        with av.open(str(tmp_path / "a.mp4")) as container:
            pictures = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert len(pictures) == 3
        red = [p[240 + top + 2, 2].astype(int) for p in pictures]
        assert all((r[0] > 120 and r[1] < 80) == said for r in red)
        assert all(p[:240].max() < 40 for p in pictures)  # nothing is drawn into the picture


@pytest.mark.parametrize("shape", [(240, 320), (480, 854), (1080, 608)])
def test_the_warning_fits_below_a_picture(shape):
    from tal_engine.outputs.render.panel import Inks, Panel
    from tal_engine.records import UNLIKE

    panel = Panel(*shape, warning=True)
    drawn = panel.draw(0.0, [], (0.0, 1.0), (), "", Inks(), UNLIKE)
    top = panel.lane(0)[0] - panel.line
    white = np.flatnonzero((drawn[top : top + panel.line] > 200).all(axis=2).any(axis=0))
    assert shape[1] // 2 < white.max() < shape[1] - 1


def test_a_stream_says_it_once_and_again_after_it_was_usual(engine, caplog):
    stream = engine.open_stream("cam", StreamOptions(window=10, step=1, look_ahead=2))
    with caplog.at_level(logging.WARNING, "tal_engine"):
        for shift in (0.0, 9.0, 0.0, 9.0):
            for row in video(np.random.default_rng(4), 120, shift, RGB)["rgb"]:
                stream.push_features({"rgb": row})
            assert (stream.state.domain < 0.01) == bool(shift)
    told = [r.getMessage() for r in caplog.records]
    assert len(told) == 2
    assert all(m.startswith("cam: this video is unlike anything") for m in told)
    assert TALEngine(tiny_plan(), "cpu", threads=1).open_stream("s").state.domain is None


def document(plan):
    return json.loads(plan.document)


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("streams", ["flow"], "domain.streams are ['flow']"),
        ("scales", [1.0, 2.0], "2 scales, must be 1"),
        ("scales", [0.0], "domain.scales"),
        ("variances", [], "domain.variances"),
        ("noise", float("nan"), "domain.noise"),
        ("distances", [0.0, float("inf")], "domain.distances"),
        ("shares", [1.0, 2.0], "domain.shares"),
        ("rank", 9, "variances, must be 9"),
        ("warn_below", 2.0, "domain.warn_below"),
        ("member", "other.bin", "domain 'other.bin' is not among the members"),
    ],
)
def test_records_that_make_no_sense_are_refused_by_name(plan, name, value, says):
    found = document(plan)
    found["domain"][name] = value
    with pytest.raises(PlanError) as e:
        parse_plan(plan_bytes(type(plan)(plan.manifest, plan.files, json.dumps(found).encode())))
    assert e.value.fault in (PlanFault.BAD_VALUE, PlanFault.MISSING_MEMBER)
    assert says in str(e.value)


def test_tables_that_turn_back_are_refused(plan):
    found = document(plan)
    for name, says in (("distances", "must rise"), ("shares", "must not rise")):
        changed = json.loads(json.dumps(found))
        changed["domain"][name].reverse()
        with pytest.raises(PlanError, match=says):
            parse_manifest(json.dumps(changed))


def test_members_of_another_size_or_of_nan_are_refused(plan):
    record, member = fit_domain(of_head(20)).stored()
    with pytest.raises(PlanError, match=r"domain\.bin has \d+ bytes, must be"):
        with_calibration(tiny_plan(), domain=(record, member[:-4]))
    broken = with_calibration(tiny_plan(), domain=(record, b"\xff" * len(member)))
    with pytest.raises(PlanError, match=r"domain\.bin holds a number that is NaN"):
        TALEngine(broken, "cpu", threads=1)


def test_a_stream_that_is_read_snippet_by_snippet_is_as_usual_as_its_teacher_says(caplog):
    torch.manual_seed(0)
    teacher = with_calibration(tiny_plan(encoders=False), domain=fit_domain(videos(9, widths=RGB)).stored())
    net = OnlineHead(3, OnlineConfig()).eval()
    plan = online_plan(net, TeacherStem(teacher, 6, 1), OnlineOptions(look_ahead=1, start=(0.5,) * 3), name="live")
    engine = TALEngine(parse_plan(plan_bytes(plan)), "cpu", threads=1)
    stream, rng = engine.open_stream("cam"), np.random.default_rng(4)
    with caplog.at_level(logging.WARNING, "tal_engine"):
        for row in video(rng, 15, 0.0, RGB)["rgb"]:
            stream.push_features({"rgb": row})
            assert stream.state.domain is None
        for shift in (0.0, 9.0, 0.0, 9.0):
            rows = video(np.random.default_rng(4), 120, shift, RGB)["rgb"]
            for row in rows:
                stream.push_features({"rgb": row})
            assert (stream.state.domain < 0.01) == bool(shift)
            assert stream.state.domain == pytest.approx(DomainModel.of(plan).share({"rgb": rows[-48:]}))
    told = [r.getMessage() for r in caplog.records if "unlike anything" in r.getMessage()]
    assert len(told) == 2
