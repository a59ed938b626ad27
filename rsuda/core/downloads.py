"""Download pretrained weights, or say soon that they cannot be downloaded."""

from __future__ import annotations

import logging
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

_PATIENCE = 5.0  # seconds to wait for an answer of the host
_PROXIES = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy")


@contextmanager
def quick_downloads() -> Iterator[None]:
    """Let huggingface_hub use its cache alone in the block where its host does not answer, and keep its log quiet.

    It tries a dead connection for a minute, with a line in the log for each try. Behind a proxy it decides itself.
    """
    from huggingface_hub import constants

    logger = logging.getLogger("huggingface_hub")
    offline, level, disabled = constants.HF_HUB_OFFLINE, logger.level, logger.disabled
    host = urlsplit(constants.ENDPOINT).hostname or "huggingface.co"
    port = urlsplit(constants.ENDPOINT).port or (80 if constants.ENDPOINT.startswith("http:") else 443)
    if not offline and not any(os.environ.get(name) for name in _PROXIES):
        constants.HF_HUB_OFFLINE = not answers(host, port)
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "For 'tu-'")  # smp wants another word for pretrained weights of timm
            yield
    finally:
        constants.HF_HUB_OFFLINE = offline
        logger.setLevel(level)
        logger.disabled = disabled


def answers(host: str, port: int, patience: float = _PATIENCE) -> bool:
    """Check whether a host takes a connection within a number of seconds; the search for its address counts."""
    connection = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection((host, port), patience).close()
        except OSError:
            return
        connection.set()

    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(patience)
    return connection.is_set()
