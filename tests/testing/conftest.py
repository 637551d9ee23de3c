"""The local OpenAI server and the real SDK's client of it, for the tests of each endpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openai import OpenAI

from cachepolicy.testing.openai_server import OpenAIServer


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    """Run a server that knows one answer, of three tokens, and thinks no time at all."""
    with OpenAIServer(answers={"ping": "pong, then"}, think=0) as running:
        yield running


@pytest.fixture
def client(server: OpenAIServer) -> Iterator[OpenAI]:
    """Make the real SDK's client, told not to retry."""
    with OpenAI(base_url=server.base_url, api_key="sk-test", max_retries=0) as made:
        yield made
