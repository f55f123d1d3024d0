r"""Does Home Assistant find the switches of `layout=home`, and do they turn? A real one, with a real broker.

    python3.11 -m venv ha
    ha/bin/pip install homeassistant==2024.3.3 paho-mqtt==1.6.1 'josepy<2' numpy==1.26.4 Pillow==10.2.0 \
      SQLAlchemy==2.0.27 fnv-hash-fast==0.5.0 hassil==1.6.1 home-assistant-frontend==20240307.0 janus==1.0.0 \
      psutil-home-assistant==0.0.1 securetar==2024.2.1
    ha/bin/python benchmarks/home_assistant.py --tal .venv/bin/python      # needs mosquitto

Home Assistant runs in this process; the sink, in a Python that has tal_engine, is told by its input what to write.
Prints the switches as Home Assistant has them after each step; exits 1 where one is not as it should be.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from homeassistant import bootstrap, runner
from homeassistant.const import __version__

SINK = """
import sys
from tal_engine.outputs.sinks.registry import SinkOptions, Source, open_sink
from tal_engine.events import Event
sink = open_sink(sys.argv[1], SinkOptions(layout="home", off_after=1.0, dead_letters=sys.argv[2]),
                 source=Source(streams=["door/1", "yard"], labels=["run", "long jump"]))
for line in sys.stdin:
    if line == "vanish\\n":
        import os; os._exit(1)
    sink.write(Event.from_json(line))
sink.close()
"""
EVENT = {
    "kind": "started", "id": "1", "source": "door/1", "label": "long jump", "label_id": 1, "score": 0.75, "start": 1.0,
    "end": None, "decided_at": 2.0, "pts": 2.0, "wall_time": None, "plan": "sha256:" + "ab" * 32,
    "schema": "tal.event/2",
}  # fmt: skip
#: Which switch is looked at.
ONE = "binary_sensor.door_1_long_jump"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def settings(folder: Path, port: int, web: int) -> None:
    """A Home Assistant that knows the broker."""
    (folder / "configuration.yaml").write_text(f"http:\n  server_port: {web}\n  server_host: 127.0.0.1\n")
    (folder / ".storage").mkdir()
    entry = {
        "entry_id": "broker", "version": 1, "minor_version": 1, "domain": "mqtt", "title": "broker", "options": {},
        "data": {"broker": "127.0.0.1", "port": port, "discovery": True}, "source": "user", "unique_id": None,
        "pref_disable_new_entities": False, "pref_disable_polling": False, "disabled_by": None,
    }  # fmt: skip
    stored = {"version": 1, "minor_version": 2, "key": "core.config_entries", "data": {"entries": [entry]}}
    (folder / ".storage" / "core.config_entries").write_text(json.dumps(stored))


async def until(home: object, wanted: str) -> None:
    for _ in range(300):
        found = home.states.get(ONE)  # type: ignore[attr-defined]
        if found is not None and found.state == wanted:
            return
        await asyncio.sleep(0.1)
    sys.exit(f"{ONE} is {found}, must be {wanted}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tal", default=".venv/bin/python", help="a Python that has tal_engine")
    tal = parser.parse_args().tal
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "m.conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        broker = subprocess.Popen([program, "-c", folder / "m.conf"], stderr=subprocess.DEVNULL)
        room = folder / "home"
        room.mkdir()
        settings(room, port, free_port())
        home = await bootstrap.async_setup_hass(runner.RuntimeConfig(config_dir=str(room), skip_pip=True))
        assert home is not None
        await home.async_start()
        words = [tal, "-c", SINK, f"mqtt://127.0.0.1:{port}/tal", str(folder / "letters")]
        try:
            await steps(home, words)
        finally:
            await home.async_stop()
            broker.kill()


async def steps(home: object, words: list[str]) -> None:
    """Each thing that can happen, and what Home Assistant makes of it."""
    sink = subprocess.Popen(words, stdin=subprocess.PIPE, text=True)

    def say(text: str) -> None:
        assert sink.stdin is not None
        sink.stdin.write(f"{text}\n")
        sink.stdin.flush()

    def told(what: str) -> None:
        states = home.states.async_all("binary_sensor")  # type: ignore[attr-defined]
        print(f"{what}: " + ", ".join(sorted(f"{s.entity_id.partition('.')[2]} {s.state}" for s in states)))

    await until(home, "off")
    told("found")
    say(json.dumps(EVENT))
    await until(home, "on")
    told("an action is open")
    say(json.dumps({**EVENT, "kind": "final", "end": 3.0, "decided_at": 9.0, "pts": 9.0}))
    await until(home, "off")
    told("decided, a second ago")
    attributes = home.states.get(ONE).attributes  # type: ignore[attr-defined]
    assert attributes["end"] == 3.0, attributes
    print("attributes: " + ", ".join(f"{k}={attributes[k]}" for k in ("label", "score", "start", "end")))
    say("vanish")
    await until(home, "unavailable")
    told("the process crashed")
    again = subprocess.Popen(words, stdin=subprocess.PIPE, text=True)
    await until(home, "off")
    told("it is there again")
    again.communicate()
    await until(home, "unavailable")
    told("it ended")
    print(f"Home Assistant {__version__}: as it should be")


if __name__ == "__main__":
    asyncio.run(main())
