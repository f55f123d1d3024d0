"""An archive on Ray: the same tables as by processes of one machine, whatever is lost meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import typer

from tal_engine import TALEngine
from tal_engine.batch.archive.listing import listed
from tal_engine.batch.archive.run import ArchiveOptions, localize_archive
from tal_engine.batch.archive.tables import SEGMENTS, VIDEOS
from tal_engine.distributed import LocalizeBatch, RayOptions, RayPool, joined, videos
from tal_engine.errors import PlanError, TALError, UsageError
from tests.makers import moving_square, tiny_plan, write_mp4

pytest.importorskip("ray.data", reason="pip install '.[ray]'")  # a folder that Ray left in /tmp is no Ray
ray = pytest.importorskip("ray")
pq = pytest.importorskip("pyarrow.parquet", reason="pip install '.[archive]'")

#: Ray warns of itself, and leaves sockets to the garbage collector.
pytestmark = [
    pytest.mark.xdist_group("ray"),
    *(pytest.mark.filterwarnings(f"ignore::{kind}") for kind in (
        "DeprecationWarning", "FutureWarning", "ResourceWarning", "UserWarning",
        "pytest.PytestUnraisableExceptionWarning",
    )),
]  # fmt: skip


@pytest.fixture(scope="module")
def cluster():
    """Two nodes of a core each on loopback; one more can be lost."""
    from ray.cluster_utils import Cluster

    found = Cluster(True, head_node_args={"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False})
    found.add_node(num_cpus=1, object_store_memory=100 << 20)
    ray.init(address=found.address, log_to_driver=False, logging_level="ERROR")
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    path = tmp_path_factory.mktemp("plan") / "tiny.plan"
    tiny_plan(path)
    return str(path)


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return write_mp4(tmp_path_factory.mktemp("clip") / "clip.mp4", np.stack(list(moving_square(200, 48, 64))))


@pytest.fixture
def folder(tmp_path, clip):
    (tmp_path / "videos").mkdir()
    for k in range(6):
        shutil.copy(clip, tmp_path / "videos" / f"{k}.mp4")
    return tmp_path / "videos"


def rows(output, kind):
    found = [row for p in sorted(Path(output, kind).rglob("*.parquet")) for row in pq.read_table(p).to_pylist()]
    for row in found:
        for name in ("finished", "seconds"):
            row.pop(name, None)
    return sorted(found, key=lambda r: (r["video"], r.get("start", 0), r.get("label", "")))


def test_tables_are_those_of_processes(cluster, folder, plan, tmp_path):
    (folder / "bad.mp4").write_bytes(b"no video at all")
    items, options = listed([str(folder)]), ArchiveOptions(workers=2, tries=2)
    by_ray = localize_archive(items, plan, str(tmp_path / "ray"), options, pool=RayPool)
    assert (by_ray.done, by_ray.failed, by_ray.exit_status) == (6, 1, 5)
    localize_archive(items, plan, str(tmp_path / "processes"), options)
    for kind in (VIDEOS, SEGMENTS):
        assert rows(tmp_path / "ray", kind) == rows(tmp_path / "processes", kind)
    again = localize_archive(items, plan, str(tmp_path / "ray"), options, pool=RayPool)
    assert (again.done, again.there, again.failed_before) == (0, 6, 1)


def test_long_videos_in_parts_give_the_same_rows(cluster, folder, plan, tmp_path, monkeypatch):
    from tal_engine.distributed import ray_pool

    parts = []
    real = ray_pool._head
    monkeypatch.setattr(ray_pool, "_head", lambda head, files: parts.append(len(files)) or real(head, files))
    short = write_mp4(folder / "short.mp4", np.stack(list(moving_square(20, 48, 64))))
    (folder / "bad.mp4").write_bytes(b"no video at all")
    items, options = listed([str(folder / "0.mp4"), str(short), str(folder / "bad.mp4")]), ArchiveOptions(tries=1)

    def split(plan, options):
        return RayPool(plan, options, RayOptions(split=3.0))

    localize_archive(items, plan, str(tmp_path / "parts"), options, pool=split)
    localize_archive(items, plan, str(tmp_path / "whole"), options)
    assert parts == [2]
    for kind in (VIDEOS, SEGMENTS):
        assert rows(tmp_path / "parts", kind) == rows(tmp_path / "whole", kind)


def test_a_part_that_fails_is_localized_whole(cluster, folder, plan, tmp_path, monkeypatch):
    from tal_engine.distributed import ray_pool

    monkeypatch.setattr(ray_pool, "_head", lambda head, files: None)

    def split(plan, options):
        return RayPool(plan, options, RayOptions(split=3.0))

    found = localize_archive(listed([str(folder / "0.mp4")]), plan, str(tmp_path / "o"), pool=split)
    assert (found.done, found.failed) == (1, 0)


def test_a_node_that_is_lost_costs_no_video(cluster, folder, plan, tmp_path):
    node = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.wait_for_nodes()
    lost = []

    def lose(done, total, outcome):
        if not lost:
            lost.append(cluster.remove_node(node, allow_graceful=False))

    items = listed([str(folder)])
    found = localize_archive(items, plan, str(tmp_path / "o"), ArchiveOptions(workers=3), lose, pool=RayPool)
    assert (found.done, found.failed) == (6, 0)
    assert lost
    assert [r["video"] for r in rows(tmp_path / "o", VIDEOS)] == sorted(i.key for i in items)


def test_a_video_that_kills_its_process_is_named(cluster, folder, plan):
    """The engine dies, its actor does not: Ray would do it again for ever."""

    class Deadly(LocalizeBatch):
        def _row(self, row):
            os.kill(self._process._running().pid, signal.SIGKILL)
            return super()._row(row)

    found = videos([str(folder / "0.mp4")]).map_batches(
        Deadly, fn_constructor_args=(plan,), batch_format="pyarrow", batch_size=1, concurrency=1
    )
    (row,) = found.take_all()
    assert (row["status"], row["error_kind"]) == ("failed", "died")


def test_the_class_serves_any_data_set(cluster, clip, plan):
    found = videos([str(clip)]).map_batches(
        LocalizeBatch, fn_constructor_args=(plan,), batch_format="pyarrow", batch_size=1, concurrency=1
    )
    (row,) = found.take_all()
    with TALEngine.load(plan) as engine:
        expected = [(s.start, s.end, s.label, s.score) for s in engine.localize(clip)]
    assert [(s["start"], s["end"], s["label"], s["score"]) for s in row["segments"]] == expected
    assert row["status"] == "done"


def test_a_plan_that_cannot_be_loaded_there_ends_the_run(cluster, folder, plan, tmp_path):
    items = listed([str(folder)])
    with pytest.raises(TALError, match="abacus"):
        localize_archive(
            items, plan, str(tmp_path / "o"), ArchiveOptions(device="abacus"),
            pool=lambda plan, o: RayPool(plan, o, RayOptions(gpus=0)),
        )  # fmt: skip
    with pytest.raises(PlanError):
        localize_archive(items, str(tmp_path / "no.plan"), str(tmp_path / "o"), pool=RayPool)


def test_a_head_is_known_by_its_answer(cluster):
    from tal_engine.distributed.cluster import _check

    _check(cluster.address)


def test_features_are_those_of_one_machine(cluster, folder, tmp_path):
    from tal_engine.cli.features import extract
    from tal_engine.features import load_features

    (folder / "bad.mp4").write_bytes(b"no video at all")
    for name, ray_address in (("ray", "auto"), ("here", None)):
        with pytest.raises(typer.Exit):
            extract([folder], tmp_path / name, "tiny", ray=ray_address)
    files = sorted(p.name for p in (tmp_path / "ray").iterdir())
    assert files == sorted(p.name for p in (tmp_path / "here").iterdir()) == [f"{k}.npz" for k in range(6)]
    for name in files:
        ours, theirs = (load_features(tmp_path / way / name) for way in ("ray", "here"))
        assert ours.contract == theirs.contract
        assert all((ours.streams[s] == theirs.streams[s]).all() for s in theirs.streams)


def test_addresses_are_refused_by_name(monkeypatch):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
        for given, words in (
            (address, f"no Ray cluster answers at {address}"), ("nowhere", "must be local, auto or HOST:PORT"),
            ("host:99999", "must be local, auto or HOST:PORT"),
        ):  # fmt: skip
            with pytest.raises(UsageError, match=words), joined(given):
                pass
    with socket.socket() as other:  # a server, of something else
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"

        def answer():
            connection, _ = other.accept()
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UsageError, match="is no Ray cluster's head"), joined(address):
            pass
        thread.join()
    with pytest.raises(UsageError, match="ray job submit"):
        RayOptions(address="ray://head:10001")
    with pytest.raises(UsageError, match="split is -1"):
        RayOptions(split=-1)


def test_the_package_needs_no_ray_to_be_imported():
    code = "import sys, tal_engine.distributed; print('ray' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
