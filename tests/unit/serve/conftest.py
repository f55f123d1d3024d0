"""What tests of the service share; they are skipped where the extra is not installed."""

from __future__ import annotations

import pytest

for module in ("fastapi", "uvicorn", "httpx", "websockets", "python_multipart", "prometheus_client"):
    pytest.importorskip(module, reason="the service needs [serve]")
