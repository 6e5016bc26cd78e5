"""The file that keeps a profile: measurements, settings, powers, and what was asked for.

May import the files of the room above that combine measurements.
"""

from profiler.measurement.store.database import APPLICATION_ID, SCHEMA_VERSION
from profiler.measurement.store.profile import IDENTITY, Profile

__all__ = ["APPLICATION_ID", "IDENTITY", "SCHEMA_VERSION", "Profile"]
