"""An engine in your own FastAPI application: uvicorn --factory fastapi_app:create_app (from this folder).

For a service as it is, with jobs, streams, tokens and a page, there is `tal serve` (docs/serve.md).
"""

import asyncio
import os
import tempfile
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import FastAPI, File, HTTPException, Request, UploadFile

from tal_engine import TALEngine, TALError

#: Videos at a time: the others wait here and not in the engine.
AT_ONCE = 2


@asynccontextmanager
async def lifespan(app):
    # Loaded once, before the first request; safe to share between threads.
    with TALEngine.load(os.environ.get("TAL_PLAN")) as engine:
        engine.load_encoders()
        app.state.engine, app.state.places = engine, asyncio.Semaphore(AT_ONCE)
        yield


def create_app():
    app = FastAPI(lifespan=lifespan)

    @app.post("/segments")
    async def segments(request: Request, file: Annotated[UploadFile, File()]):
        state = request.app.state
        with tempfile.NamedTemporaryFile(suffix=".media") as copy:
            while piece := await file.read(1 << 20):
                copy.write(piece)
            copy.flush()
            try:
                async with state.places:
                    # A client that goes cancels it: the thread ends after its current batch.
                    result = await state.engine.alocalize(copy.name)
            except TALError as e:
                raise HTTPException(422, str(e).replace(copy.name, file.filename or "the upload")) from e
        return [{"start": s.start, "end": s.end, "label": s.label, "score": s.score} for s in result]

    return app
