import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk():
    """SQLite files need to survive a killed process here, and no power cut."""

    def connected(connection, record):
        if type(connection).__module__.startswith("sqlite3"):
            connection.execute("PRAGMA synchronous = OFF")

    event.listen(Engine, "connect", connected)
    yield
    event.remove(Engine, "connect", connected)
