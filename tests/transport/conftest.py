"""What the tests of the transport share: a town on a real server and on the twin, and a look for stray keys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from towns import Parts, snapshot, strays

from tinytown.transport.blocking import BlockingConnection, run_sync


@pytest.fixture(params=["server", "twin"])
def town(request: pytest.FixtureRequest) -> Iterator[Parts]:
    """A town without agents, on the real server and on the twin."""
    if request.param == "server":
        yield Parts(request.getfixturevalue("blocking"))
        return
    from twin import Twin

    yield Parts(Twin())


@pytest.fixture
def real_town(blocking: BlockingConnection) -> Parts:
    """A town without agents, on the real server only."""
    return Parts(blocking)


@pytest.fixture(autouse=True)
def _every_key_stands_in_the_catalogue(request: pytest.FixtureRequest) -> Iterator[None]:
    """After each test with a town: every key is one of the catalogue, of its type, without expiry."""
    name = next((name for name in ("town", "real_town") if name in request.fixturenames), None)
    town = None if name is None else request.getfixturevalue(name)
    yield
    # The tests of files call something else a town.
    if not isinstance(town, Parts):
        return
    found = run_sync(snapshot(town.connection))
    assert strays(found, town.keys) == []
    assert [key for key in found if run_sync(town.connection.execute("PTTL", key)) != -1] == []
