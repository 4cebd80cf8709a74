"""Ports for the agents of a town: each has a block of its own, so that two test servers never meet.

Which block is decided by the town's path and the agent's name, so that it is the same on every day; only a block
that somebody else has moves an agent on to the next one.
"""

from __future__ import annotations

import socket
from hashlib import sha256
from typing import TYPE_CHECKING

from tinytown.errors import Full

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

BLOCK = 10
"""Ports of one agent: a web server, its hot reload, an API, a database, and as many for the tests."""
_OUTGOING = 32_768
"""From here on Linux gives ports to outgoing connections (ip(7), ip_local_port_range)."""
_END = 65_536


def choose_ports(
    owner: str, *, base: int, taken: Collection[int], is_free: Callable[[int], bool] = lambda port: True
) -> range:
    """The block of an owner: the first from a place that its text decides which is not in `taken` and all free.

    `base` is the first port of all blocks, `taken` holds the first ports of blocks that have an owner. Blocks stay
    below the ports of outgoing connections, unless `base` is one of them. Raises `Full` when no block is left.
    """
    end = _OUTGOING if base + BLOCK <= _OUTGOING else _END
    count = (end - base) // BLOCK
    first = int.from_bytes(sha256(owner.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    for step in range(count):
        start = base + (first + step) % count * BLOCK
        block = range(start, start + BLOCK)
        if not any(held in block or start in range(held, held + BLOCK) for held in taken) and all(map(is_free, block)):
            return block
    raise Full(
        f"None of the {count} blocks of {BLOCK} ports from {base} to {end - 1} is free",
        hint="Set 'port_base' of [agent] in tinytown.toml, or remove worktrees that are no longer needed.",
    )


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of the loopback now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # With it, connections that have ended but are remembered do not count as a server.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
