"""In an event loop: some videos side by side, with a deadline, and a live stream: asyncio_localize.py a.mp4 b.mp4."""

import asyncio
import sys

from tal_engine import TALEngine, TALError


async def main(*videos, plan=None, seconds=600.0):
    with TALEngine.load(plan) as engine:
        async with asyncio.timeout(seconds):  # what is cancelled ends after its current batch of snippets
            results = await asyncio.gather(*(engine.alocalize(video) for video in videos))
        for video, result in zip(videos, results, strict=True):
            print(video, [(s.label, round(s.start, 1), round(s.end, 1)) for s in result])
        finals = 0
        with engine.watch(f"live={videos[0]}") as events:
            async for event in events:
                finals += event.is_final
        return results, finals


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    try:
        asyncio.run(main(*sys.argv[1:]))
    except TALError as e:  # the message names the file or the value, and what is allowed
        sys.exit(str(e))
