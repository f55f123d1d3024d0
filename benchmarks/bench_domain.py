"""How well a plan knows what it was trained on, and what its calibrated scores are worth.

    python benchmarks/bench_domain.py --work out/domain [--seconds 15]
    python benchmarks/bench_domain.py --only lite0 --fitted out/fit/lite0 --held-out out/other/lite0 [--seconds 15]

Renders procedural videos (the first seconds of each), takes their features and those of the real clips of
$TAL_SHARED/data/videos with the tiny encoders and with lite0, fits the domain on random training sets and asks whether
it tells real clips from procedural videos that it was not fitted on. What lies in the work folder is not made again.
With --fitted and --held-out nothing is rendered: features of procedural videos that `tal features extract` made are
read, as many seconds of each. Real clips are few: three independent videos, each also twice as fast, mirrored, and as
its centre.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from pages import filled, write_or_check

from tal_engine import TALEngine
from tal_engine.demo.demo_set import annotation, script_of, write_video
from tal_engine.demo.render import render
from tal_engine.export.encoder_graphs import open_encoders
from tal_engine.export.fit_domain import fit_domain
from tal_engine.export.fit_scores import outcomes
from tal_engine.features import load_features
from tal_engine.inference.extraction import Extractor
from tal_engine.metrics.calibration import calibration_error
from tal_engine.records import Segment
from tal_engine.video import open_video

RESULT = Path(__file__).parent / "results" / "bench_domain.json"
PAGE = Path(__file__).parents[1] / "docs" / "scores.md"
SHARED = Path(os.environ.get("TAL_SHARED", "../shared")) / "data" / "videos"
#: Videos (seed, split, count): those that domains are fitted on, and others of other bodies, scenes and seeds.
FITTED, HELD_OUT = [(0, "train", 60)], [(0, "test", 16), (7, "test", 12)]
#: Snippets of a piece of a video (7.7 s), random training sets, their sizes.
PIECE, DRAWS, SIZES = 12, 5, (12, 24, 48)


def rendered(work, seconds):
    """Paths of procedural videos by group, as many as there are or can be rendered."""
    groups = {}
    for name, wanted in (("fitted", FITTED), ("held out", HELD_OUT)):
        for seed, split, count in wanted:
            for i in range(count):
                script = script_of(split, seed, i)
                path = work / f"v{seed}" / "videos" / f"{script.name}.mp4"
                if not path.exists() and seconds:
                    write_video(path, islice(render(script), round(seconds * script.fps)), script.fps)
                if path.exists():
                    groups.setdefault(name, []).append((f"v{seed}_{script.name}", path))
    return groups


def variants(path):
    """A real clip as it is and changed: (name, frames, frames a second)."""
    with open_video(path) as video:
        fps, frames = video.fps, np.stack([f.image() for f in video.frames])
    h, w = frames.shape[1:3]
    yield "", frames, fps
    yield "_fast", frames, 2 * fps
    yield "_mirrored", np.ascontiguousarray(frames[:, :, ::-1]), fps
    yield "_centre", np.ascontiguousarray(frames[:, h // 6 : h - h // 6, w // 6 : w - w // 6]), fps


def features_of(kind):
    """A function from a source (path, or frames and fps) to its streams."""
    if kind == "tiny":
        engine = TALEngine.load("demo", "cpu")
        return lambda source, fps=None: engine.features(source, fps=fps).streams
    encoders = open_encoders(kind)
    extractor = Extractor(encoders.snippet, encoders.open(list(encoders.specs), "cpu"))

    def extracted(source, fps=None):
        with open_video(source, fps) as video:
            return extractor.encode(video).features.streams

    return extracted


def collected(work, kind, groups):
    """Features by group and name; those that are not there yet are made."""
    folder, take, out = work / kind, None, {}
    folder.mkdir(parents=True, exist_ok=True)

    def kept(name, source, fps=None):
        nonlocal take
        path = folder / f"{name}.npz"
        if not path.exists():
            take = take or features_of(kind)
            np.savez(path, **take(source(), fps))
        with np.load(path) as found:
            return {n: found[n] for n in found.files if n != "duration"}

    for group, videos in groups.items():
        out[group] = {name: kept(name, lambda p=path: p) for name, path in videos}
    out["real"] = {}
    for path in sorted(SHARED.glob("*.mp4")):
        names = [f"real_{path.stem}{v}" for v in ("", "_fast", "_mirrored", "_centre")]
        if all((folder / f"{n}.npz").exists() for n in names):
            out["real"] |= {n: kept(n, None) for n in names}
            continue
        for name, (_, frames, fps) in zip(names, variants(path), strict=True):
            out["real"][name] = kept(name, lambda f=frames: f, fps)
    return out


def made_before(folder, seconds):
    """The first seconds of each video of a folder of features, by name."""
    found = {p.stem: load_features(p) for p in sorted(folder.glob("*.npz"))}
    return {n: {s: x[: int(seconds / f.timeline.step)] for s, x in f.streams.items()} for n, f in found.items()}


def pieces(videos):
    """Whole pieces of `PIECE` snippets; a shorter video is one piece."""
    for v in videos:
        count = len(next(iter(v.values())))
        for first in range(0, max(count - PIECE, 0) + 1, PIECE):
            yield {n: x[first : first + PIECE] for n, x in v.items()}


def auroc(inside, outside):
    """Chance that a real clip has the smaller share; ties count half."""
    a, b = np.asarray(inside)[:, None], np.asarray(outside)[None]
    return float(((b < a) + 0.5 * (b == a)).mean())


def measured(found):
    """Rows by size of the training set: mean and spread over draws of it."""
    names, held = sorted(found["fitted"]), list(found["held out"].values())
    real = list(found["real"].values())
    rows = []
    for size in [s for s in SIZES if s < len(names)] + [len(names)]:
        draws = []
        for seed in range(DRAWS if size < len(names) else 1):
            chosen = np.random.default_rng(seed).permutation(names)[:size]
            model = fit_domain([found["fitted"][n] for n in chosen])
            share = {"procedural": [model.share(v) for v in held], "real": [model.share(v) for v in real]}
            cut = {n: [model.share(p) for p in pieces(v)] for n, v in (("procedural", held), ("real", real))}
            draws.append({
                "auroc": auroc(share["procedural"], share["real"]),
                "auroc_pieces": auroc(cut["procedural"], cut["real"]),
                "false_warnings": float(np.mean([model.unlike(s) for s in share["procedural"]])),
                "below_5_percent": float(np.mean(np.array(share["procedural"]) < 0.05)),
                "false_warnings_pieces": float(np.mean([model.unlike(s) for s in cut["procedural"]])),
                "real_told": float(np.mean([model.unlike(s) for s in share["real"]])),
                "real_pieces_told": float(np.mean([model.unlike(s) for s in cut["real"]])),
                "bytes": len(model.stored()[1]),
            })  # fmt: skip
        row = {k: [round(float(np.mean([d[k] for d in draws])), 4), round(float(np.std([d[k] for d in draws])), 4)]
               for k in draws[0]}  # fmt: skip
        rows.append({"videos": size, "draws": len(draws), **row})
        print(json.dumps(rows[-1]), flush=True)
    counts = {"held_out": len(held), "held_out_pieces": len(list(pieces(held))), "real": len(real),
              "real_pieces": len(list(pieces(real))), "real_independent": len(real) // 4}  # fmt: skip
    return {"counts": counts, "rows": rows, "cost": cost(fit_domain(list(found["fitted"].values())), held[0])}


def cost(model, video, repeats=50):
    """Milliseconds of `share` for a window of 94 snippets (60 s), best of several."""
    window = {n: np.resize(x, (94, x.shape[1])) for n, x in video.items()}
    best = float("inf")
    for _ in range(repeats):
        began = time.perf_counter()
        model.share(window)
        best = min(best, time.perf_counter() - began)
    return {"ms_a_window_of_94_snippets": round(1e3 * best, 3)}


def calibration(found, seconds):
    """Expected calibration error of the plan `demo` on rendered test videos, which nothing was fitted on."""
    engine, truth, told = TALEngine.load("demo", "cpu"), {}, {}
    for name in found["held out"]:
        result = engine.localize(found["held out"][name], min_score=0.0, top_k=0)
        seed = int(name.split("_")[0][1:])
        script = script_of("test", seed, int(name[-5:]))
        rows = annotation(script, "test", seed)["annotations"]
        end = min(result.info.duration, script.duration)
        cut = [(r["segment"][0], min(r["segment"][1], end), r["label"]) for r in rows if r["segment"][0] < end - 0.5]
        truth[name], told[name] = [Segment(a, b, label, 1.0) for a, b, label in cut], list(result)
    seen = outcomes(truth, told, engine.plan.manifest.calibration.tiou)
    least = min(engine.plan.manifest.thresholds.classes.values())
    shown = seen.score >= least
    bins = np.linspace(0, 1, 6)
    table = [
        [round(float(seen.score[m].mean()), 3), round(float(seen.right[m].mean()), 3), int(m.sum())]
        for m in ((seen.score >= a) & (seen.score < b) for a, b in pairwise(bins))
        if m.any()
    ]
    return {
        "videos": len(told), "seconds_of_each": seconds, "instances": sum(map(len, truth.values())),
        "segments": len(seen.score), "ece": round(calibration_error(seen.score, seen.right), 4),
        "shown": int(shown.sum()), "ece_of_shown": round(calibration_error(seen.score[shown], seen.right[shown]), 4),
        "ece_from_0.05": round(calibration_error(*(x[seen.score >= 0.05] for x in (seen.score, seen.right))), 4),
        "bins_score_right_count": table,
    }  # fmt: skip


def section(out):
    """The figures in words and a table, for docs/scores.md."""
    kinds = [k for k in ("tiny", "lite0") if k in out]
    lines = ["| encoders | training videos | AUROC, videos | AUROC, pieces of 7.7 s | procedural videos warned of | "
             "real clips warned of |", "|---|---|---|---|---|---|"]  # fmt: skip
    for kind in kinds:
        for row in out[kind]["rows"]:
            cells = [f"{row[k][0]:.3f} ± {row[k][1]:.3f}" for k in ("auroc", "auroc_pieces")]
            cells += [f"{100 * row[k][0]:.0f} %" for k in ("false_warnings", "real_told")]
            lines.append(f"| {kind} | {row['videos']} | {' | '.join(cells)} |")
    held = ", ".join(f"{out[k]['counts']['held_out']} for {k}" for k in kinds)
    n, ms = out[kinds[0]]["counts"], out[kinds[0]]["cost"]["ms_a_window_of_94_snippets"]
    lines.append(
        f"\nHeld-out procedural videos of other bodies, scenes and seeds ({held}) against {n['real']} real clips, "
        f"which are {n['real_independent']} independent videos, each also faster, mirrored and as its centre; ± is the "
        f"deviation over {DRAWS} random training sets. A look at a window of 60 s takes {ms:.2f} ms."
    )
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("out/domain"))
    parser.add_argument("--seconds", type=float, default=15.0, help="of each video that is rendered; 0: those there")
    parser.add_argument("--only", choices=["tiny", "lite0"], help="one kind of encoders")
    parser.add_argument("--fitted", type=Path, help="features of videos to fit on, instead of rendered ones")
    parser.add_argument("--held-out", type=Path, help="features of other videos")
    asked = parser.parse_args()
    given = {"fitted": asked.fitted, "held out": asked.held_out} if asked.fitted else {}
    groups = {} if given else rendered(asked.work, asked.seconds)
    out = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    for kind in [asked.only] if asked.only else ["tiny", "lite0"]:
        usable = groups
        if not asked.seconds:  # only what has its features
            there = {p.stem for p in (asked.work / kind).glob("*.npz")}
            usable = {g: [v for v in videos if v[0] in there] for g, videos in groups.items()}
        found = collected(asked.work, kind, usable) | {g: made_before(p, asked.seconds) for g, p in given.items()}
        out[kind] = measured(found)
        if kind == "tiny" and not given:
            out["calibration"] = calibration(found, asked.seconds)
        RESULT.write_text(json.dumps(out, indent=1) + "\n")
    write_or_check({PAGE: filled(PAGE, {"domain": lambda: section(out)})}, check=False)


if __name__ == "__main__":
    main()
