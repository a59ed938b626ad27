"""Answer with one sentence where a request cannot be served."""

from __future__ import annotations

from typing import Any

RETRY_AFTER = 5  # seconds that a client is asked to wait where the service is full


def refusal(status: int, sentence: str) -> Any:
    """Make an answer of an error: its sentence as JSON."""
    from fastapi.responses import JSONResponse

    text = sentence.encode("utf-8", "replace").decode()  # JSON may hold halves of characters, which UTF-8 has not
    return JSONResponse({"error": text}, status, {"Retry-After": str(RETRY_AFTER)} if status == 503 else None)
