#!/usr/bin/env bash
# uvicorn 0.54.0, ws="websockets-sansio": a refused WebSocket is logged as an error of the application.
#
# Guess before it was run: an application that refuses a handshake with a response of its own (ASGI extension
# websocket.http.response) has answered, and nothing is logged as an error; both implementations do the same.
# Seen: the client gets the whole response, 403 with its body, from both. "websockets-sansio" then logs at ERROR "ASGI
# callable returned without completing handshake." for every one of them; "websockets" logs nothing. Whoever counts errors
# in the log of a service counts its visitors without a token.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
python="$work/venv/bin/python"
"$python" -m pip install --quiet --disable-pip-version-check uvicorn==0.54.0 websockets==17.4
cat > "$work/look.py" <<'PY'
import logging, socket, sys, threading, time
import uvicorn
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

async def app(scope, receive, send):
    await receive()
    await send({"type": "websocket.http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "websocket.http.response.body", "body": b"no"})

errors = []
class Errors(logging.Handler):
    def emit(self, record):
        errors.append(record.getMessage())

listening = socket.create_server(("127.0.0.1", 0))
config = uvicorn.Config(app, ws=sys.argv[1], lifespan="off", log_config=None)
logging.getLogger("uvicorn.error").addHandler(Errors(logging.ERROR))
server = uvicorn.Server(config)
thread = threading.Thread(target=server.run, args=([listening],))
thread.start()
while not server.started:
    time.sleep(0.01)
for _ in range(3):
    try:
        connect(f"ws://127.0.0.1:{listening.getsockname()[1]}/", open_timeout=10).close()
    except InvalidStatus as e:
        print(e.response.status_code, bytes(e.response.body).decode(), end="; ")
server.should_exit = True
thread.join()
print(len(errors), *sorted(set(errors)))
PY
for kind in websockets-sansio websockets; do
  said=$("$python" -W ignore "$work/look.py" "$kind")
  echo "$kind: $said"
  if [ "$kind" = websockets-sansio ]; then
    test "$said" = "403 no; 403 no; 403 no; 3 ASGI callable returned without completing handshake."
  else
    test "$said" = "403 no; 403 no; 403 no; 0"
  fi
done
