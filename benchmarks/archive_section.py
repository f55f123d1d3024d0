"""The parts of docs/archives.md on throughput, kills, stores, Ray and scale, from the stored results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pages import machine_lines, table

#: Seconds of a rendered clip, and what an archive of a million hours is taken to be.
CLIP_S, HOURS, VIDEO_S = 20.0, 1_000_000, 1800.0
#: A node, and how long its run may take.
CORES, DAYS = 64, 7


def section(document: Mapping[str, Any]) -> str:
    """Say what `tal batch` did beside other ways, and what kills left."""
    t, k = document["figures"]["throughput"], document["figures"]["kill"]
    killed = " and ".join(f"{n} of {'workers' if what == 'worker' else 'whole runs'}" for what, n in k["kills"].items())
    lines = [
        f"- {t['clips']} rendered clips of 20 s, {len(t['seconds']['batch'])} rounds in turns, medians by the clock: "
        f"two workers have **{t['of_two_processes']:.2f}x** the throughput of two separate runs on halves, and "
        f"**{t['of_localize']:.2f}x** that of `tal localize FOLDER`.",
        *_cores(t, document["parts"]["throughput"]["machine"]["cores"]),
        f"- kill -9 at random moments, {killed}: {left(k)}.",
        *machine_lines({"all": document["parts"]["throughput"]["machine"]}, "onnxruntime"),
        f"- Load of the machine before: {t['load_before']:.1f}; before the kills, of {k['videos']} clips: "
        f"{k['load_before']:.1f}.",
    ]  # fmt: skip
    return "\n".join(lines)


def _cores(t: Mapping[str, Any], cores: int) -> list[str]:
    """Say what bounds the ratios: ways that use the cores that there are, and what a clip costs them."""
    used, took = t["cores_used"], t["processor_a_clip"]
    former = "localize of a former build"
    bound = cores / used[former] * took[former] / took["batch"]
    return [
        f"- `tal localize FOLDER` of the build of {t['former_build'].split()[1]}, before there was `tal batch`, in "
        f"the same rounds: two workers have **{t['of_former_localize']:.2f}x** its throughput. 1.5x was aimed at. "
        f"One video at a time uses {used[former]:.2f} of {cores} cores already, and takes {took[former]:.2f} s of "
        f"processor time a clip where `tal batch` takes {took['batch']:.2f} s with {used['batch']:.2f} cores: with "
        f"both cores full it would be {bound:.2f}x. More needs more cores than one video can use."
    ]


def left(k: Mapping[str, Any]) -> str:
    """Say how often videos are in the tables."""
    return (
        f"of {k['videos']} videos {k['missing']} are missing, {k['twice']} are there twice, and {k['segments_wrong']} "
        "have other segments than their row says"
    )


def store_section(document: Mapping[str, Any]) -> str:
    """Say what an object store that errs did to a run."""
    f = document["figures"]
    sound, faulty, worse, killed = (f[name] for name in ("sound", "faulty", "worse", "killed"))
    kills = " and ".join(f"{n} of {'workers' if w == 'worker' else 'whole runs'}" for w, n in killed["kills"].items())

    def asked(run: Mapping[str, Any]) -> str:
        r = run["requests"]
        return f"{r['requests']} requests, of which {r['500']} got a 500 and {r['slow']} a slow answer"

    lines = [
        f"- An S3 store on loopback (moto), {sound['videos']} clips of 2 s from it and tables to it: "
        f"{sound['requests']['requests']} requests.",
        f"- Behind a proxy that answers 1 % with 500 and 1 % over {f['pause_s']:g} s: {asked(faulty)}; "
        f"{left(faulty)}, {faulty['failed']} failed.",
        f"- With 10 % of each: {asked(worse)}; {left(worse)}, {worse['failed']} failed.",
        f"- With 1 % of each, and kill -9 of {kills}: {left(killed)}, {killed['failed']} failed.",
        *machine_lines({"all": document["machine"]}, "onnxruntime"),
    ]
    return "\n".join(lines)


def ray_section(document: Mapping[str, Any]) -> str:
    """Say what Ray costs beside the plain pool, what a lost node does, and what parts of a long video cost."""
    lost, parts, over = (document["figures"][name] for name in ("lost_node", "parts", "overhead"))
    lines = [
        *_ray_cost(over, document["figures"]["marginal"]),
        f"- A third node was lost after {lost['after']} of {lost['videos']} videos: {lost['done']} localized, "
        f"{lost['failed']} failed; {left(lost)}.",
        *_ray_parts(parts),
        *machine_lines({"all": document["parts"]["overhead"]["machine"]}, "onnxruntime"),
    ]
    return "\n".join(lines)


def _ray_cost(over: Mapping[str, Any], more: Mapping[str, Any]) -> list[str]:
    plain, ray = over["median"]["processes"], over["median"]["ray"]
    extra = 1000 * (more["ray"]["video"] - more["processes"]["video"])
    return [
        f"- Two nodes of a core (raylets on loopback, Ray {over['ray']}), two actors against two processes, on a "
        f"machine with other work (load {over['load_before']:.0f}), so only processor time is told: {over['clips']} "
        f"clips of 20 s take {ray['processor']:.1f} s against {plain['processor']:.1f} s, medians of {over['rounds']} "
        f"runs in turns, start and end included. Each further video of 2 s (from {more['few']} to {more['many']}, a "
        f"run each) takes {1000 * more['ray']['video']:.0f} ms against {1000 * more['processes']['video']:.0f} ms: "
        f"{extra:+.0f} ms for passing through Ray.",
    ]


def _ray_parts(parts: Mapping[str, Any]) -> list[str]:
    longest, work = max(parts["parts_s"]), sum(parts["parts_s"]) / parts["whole_s"]
    equal = "all bits equal" if parts["equal"] and parts["bit_equal"] else "NOT equal"
    each = ", ".join(f"{s:.1f}" for s in parts["parts_s"])
    return [
        f"- A video of {parts['seconds']:.0f} s in parts on three workers: {parts['segments']} segments, {equal} to "
        f"the whole's. On one thread the whole takes {parts['whole_s']:.1f} s of processor time, its parts {each} s: "
        f"with a core for each it is done {parts['whole_s'] / longest:.1f}x as fast, for {100 * (work - 1):.0f} % more "
        "work, which is decoding. The larger a plan's encoders are, the less that is.",
    ]


def serve_section(document: Mapping[str, Any]) -> str:
    """Say what two replicas of Ray Serve answer beside one service of two workers."""
    if not document:
        return "Not measured yet: `python benchmarks/archive_serve.py`."
    f = document["figures"]
    plain, ray, pinned = f["plain"], f["serve"], f["serve"]["pinned"]

    def row(what: str, name: str) -> list[str]:
        cells = [f"{of[name]['a_second']:.1f} ({of[name]['p50_ms']:.0f} / {of[name]['p99_ms']:.0f} ms)"
                 for of in (plain, ray)]  # fmt: skip
        return [what, str(ray[name]["requests"]), *cells]

    head = ["requests a second (median / 99th percentile)", "requests", "`tal serve`, two workers",
            f"Ray Serve, {f['replicas']} replicas of one"]  # fmt: skip
    return "\n".join([
        *table(head, [row("clips of 2 s, whole", "localize"), row("`/healthz`", "health")]), "",
        f"- {f['clients']} clients on loopback, one after the other service, on a machine with other work (load "
        f"{f['load_before']:.0f} before): rates are for comparing the two columns. A health check through Ray's proxy "
        f"takes {ray['health']['p50_ms']:.1f} ms, {plain['health']['p50_ms']:.1f} ms without.",
        f"- Streams stay put: {pinned['streams']} streams on {pinned['replicas']} replicas, each asked for "
        f"{pinned['asked'] // pinned['streams']} times while clips were localized: {pinned['found']} of "
        f"{pinned['asked']} answers came from the replica that has it.",
        *machine_lines({"all": document["machine"]}, "onnxruntime"),
    ])  # fmt: skip


def ray_and_scale(batch: Mapping[str, Any], store: Mapping[str, Any], ray: Mapping[str, Any]) -> str:
    """Say what was measured of Ray, and what all of it comes to."""
    return f"{ray_section(ray)}\n\n## A million hours\n\n{scale_section(batch, store, ray)}"


def scale_section(batch: Mapping[str, Any], store: Mapping[str, Any], ray: Mapping[str, Any]) -> str:
    """Reckon a million hours from what was measured of seconds."""
    over, sound = ray["figures"]["overhead"], store["figures"]["sound"]
    clip = batch["figures"]["processor"]["processor_a_clip"]["batch"]
    seconds, whole = HOURS * 3600.0, DAYS * 86400.0
    videos = seconds / VIDEO_S
    cores_h = seconds / CLIP_S * clip / 3600
    nodes = cores_h / (CORES * DAYS * 24)
    writes = over["median"]["ray"]["driver"] / over["clips"]
    driver = writes * videos / 3600
    byte = over["video_bytes"] / (over["clips"] * CLIP_S)
    gbit = byte * seconds * 8 / whole / 1e9
    table, asks = over["table_bytes"] / over["clips"], sound["requests"]["requests"] / sound["videos"]
    rows = [
        ("processor time of a clip of 20 s, demo plan, 320x240", f"{clip:.2f} s", f"{cores_h:,.0f} core hours"),
        (f"nodes of {CORES} cores", "", f"{nodes:.0f} for {DAYS} days: {nodes * DAYS * 24:,.0f} machine hours"),
        ("bytes of a second of video, as rendered", f"{byte / 1000:.0f} kB",
         f"{byte * seconds / 1e12:.0f} TB, {gbit:.1f} Gbit/s in all, {1000 * gbit / nodes:.0f} Mbit/s a node"),
        ("processor time of the process that writes, a video", f"{1000 * writes:.0f} ms",
         f"{driver:,.0f} h, {100 * driver / (DAYS * 24):.0f} % of one core"),
        ("requests to the store, a video", f"{asks:.0f}", f"{asks * videos / whole:.0f} a second"),
        ("bytes of the tables, a video", f"{table / 1000:.1f} kB", f"{table * videos / 1e9:.0f} GB"),
    ]  # fmt: skip
    bound = (
        "the workers' processors: nothing else is used up"
        if driver < DAYS * 24 / 2
        else "the one process that writes: give several runs a share of the archive and a folder each"
    )
    return "\n".join([
        f"A million hours as {videos:,.0f} videos of {VIDEO_S / 60:.0f} minutes, on paper, from the figures above:",
        "",
        "| what | measured | a million hours |",
        "|---|---|---|",
        *(f"| {' | '.join(row)} |" for row in rows),
        "",
        f"The bottleneck is {bound}. Start and end of a run of few clips on a busy machine are in the first and fourth "
        "rows, which are upper bounds for this plan and size therefore. Another plan or larger pictures scale the "
        "first two rows: `tal bench` gives its time. Longer videos scale the requests, which read 4 MiB each, and the "
        "tables.",
    ])  # fmt: skip
