"""Times as the messages on the wire have them."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp


def stamp(time: datetime | str) -> Timestamp:
    """Write a time; text is what the database says of one in JSON."""
    found = Timestamp()
    found.FromDatetime(datetime.fromisoformat(time) if isinstance(time, str) else time)
    return found
