"""JWTs as they come over the wire; nothing here signs, and nothing that is tested verifies."""

from __future__ import annotations

import base64
import json
from typing import Any


def jwt(claims: Any, *, header: Any = None, signature: str = "c2ln") -> str:
    """Lay out claims (or a payload's own bytes) as a JWT."""
    head = {"alg": "HS256", "typ": "JWT"} if header is None else header
    return f"{_part(head)}.{_part(claims)}.{signature}"


def _part(content: Any) -> str:
    payload = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(payload).decode().rstrip("=")
