"""results.py — what a store says of a call, as Python sees it.

A store keeps records; programs want a value, a status, an error and times. `ComputationResult` is that, and it
remembers the record that it was read from, so that a store written in Python can put the result wherever it likes
(pickled, say) and give back the very record: revision, lease and all. Whoever changes a result makes a new one of
it, and the record is forgotten.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import enum
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Dict, Optional

import gi

gi.require_version("Strand", "1")
from gi.repository import GLib, Strand

from . import errors, values


class ComputationStatus(enum.Enum):
    """Where a computation stands; the last three are final."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = (ComputationStatus.COMPLETED, ComputationStatus.FAILED, ComputationStatus.CANCELLED)

_OF_CORE = {
    Strand.Status.PENDING: ComputationStatus.PENDING,
    Strand.Status.RUNNING: ComputationStatus.RUNNING,
    Strand.Status.COMPLETED: ComputationStatus.COMPLETED,
    Strand.Status.FAILED: ComputationStatus.FAILED,
    Strand.Status.CANCELLED: ComputationStatus.CANCELLED,
}
_TO_CORE = {status: core for core, status in _OF_CORE.items()}


def status_of(core):
    """The `ComputationStatus` that a `Strand.Status` is."""
    return _OF_CORE[core]


class SerializationFormat(enum.Enum):
    """What writes arguments and values. Each is exact; PICKLE writes compact bytes that hold data, never code."""

    JSON = "json"
    PICKLE = "pickle"

    @property
    def serializer(self):
        """The name of strand's serializer that stands for the format."""
        return "json" if self is SerializationFormat.JSON else "gvariant"


@dataclass
class ComputationResult:
    """What is known of one computation."""

    value: Any
    status: ComputationStatus
    error: Optional[BaseException] = None
    created_at: datetime = field(default_factory=datetime.now)
    completed_at: Optional[datetime] = None
    metadata: Dict[str, Any] = field(default_factory=dict)

    def __setattr__(self, name, value):
        object.__setattr__(self, name, value)
        object.__setattr__(self, "_record", None)

    @property
    def is_ready(self):
        """Whether the computation has ended, in whichever way."""
        return self.status in ENDED

    @property
    def duration(self) -> Optional[timedelta]:
        """How long it took from being made to its end, or None while it goes on."""
        return self.completed_at - self.created_at if self.completed_at else None

    def __reduce__(self):
        if self._record is not None:
            return (from_json, (self._record,))
        return (
            ComputationResult,
            (self.value, self.status, self.error, self.created_at, self.completed_at, self.metadata),
        )


# Calls of this program whose record may not have been written yet: strand key to Strand.Handle. A key is known as soon
# as the call is made; the record follows.
_launched = {}


def note_launched(key, native):
    """Remembers a call until forget_launched()."""
    _launched[key] = native


def forget_launched(key):
    """The call has ended, so its record is there."""
    _launched.pop(key, None)


def find_launched(key):
    """The Strand.Handle of a call that this program has made, while it has not ended; or None."""
    return _launched.get(key)


def moment(time_us):
    """A time of strand's as Python tells it, in local time; None for none."""
    return datetime.fromtimestamp(time_us / 1e6) if time_us > 0 else None


def _time_us(moment):
    return round(moment.timestamp() * 1e6) if moment is not None else 0


def from_record(record):
    """The result that a record stands for."""
    status = _OF_CORE[record.get_status()]
    value = record.dup_value() if status is ComputationStatus.COMPLETED else None
    error = record.dup_error() if status in (ComputationStatus.FAILED, ComputationStatus.CANCELLED) else None
    metadata = values.from_variant(record.get_variant(Strand.Field.METADATA)) or {}
    result = ComputationResult(
        value=values.from_variant(value),
        status=status,
        error=errors.from_error(error, metadata) if error is not None else None,
        created_at=moment(record.get_int(Strand.Field.CREATED)) or datetime.now(),
        completed_at=moment(record.get_int(Strand.Field.COMPLETED)),
        metadata={name: content for name, content in metadata.items() if name != errors.METADATA},
    )
    object.__setattr__(result, "_record", record.to_json().get_data())
    return result


def from_json(text):
    """The result that a record's JSON text, as bytes, stands for."""
    return from_record(Strand.Record.from_json(GLib.Bytes.new(text)))


def record_of(result):
    """The record that a result was read from, or None if it was made, or changed, by hand."""
    return Strand.Record.from_json(GLib.Bytes.new(result._record)) if result._record is not None else None


def to_record(key, result, serializer, base=None):
    """A record that says what a result made by hand says; the rest is as in `base`."""
    record = base.copy() if base is not None else Strand.Record.new(key)
    record.set_int(Strand.Field.STATUS, int(_TO_CORE[ComputationStatus(result.status)]))
    record.set_int(Strand.Field.CREATED, _time_us(result.created_at))
    completed = result.completed_at or (datetime.now() if result.is_ready else None)
    record.set_int(Strand.Field.COMPLETED, _time_us(completed))
    record.set_string(
        Strand.Field.LEASE_OWNER,
        Strand.lease_owner_self("python") if result.status is ComputationStatus.RUNNING else None,
    )
    metadata = {str(name): values.to_variant(content) for name, content in result.metadata.items()}
    if result.status is ComputationStatus.COMPLETED:
        record.set_value(values.to_variant(result.value), serializer)
    elif result.is_ready:
        error = result.error or RuntimeError("no reason was given")
        metadata[errors.METADATA] = errors.describe(error)
        record.add_cause(Strand.lease_owner_self("python"), errors.to_error(error))
    record.set_variant(Strand.Field.METADATA, GLib.Variant("a{sv}", metadata))
    return record
