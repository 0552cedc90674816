"""stores.py — where results are kept, as mappings from keys to results.

Every store here is a `MutableMapping`, whichever way it came to be:

- strand's own (`FileSystemStore`, `SqliteStore`, …) are plugins, and these classes look at them;
- a subclass of `ComputationStore` is a mapping that a program wrote, and `_Bridge` lets strand look at it;
- a subclass of `GObject.Object` and `Strand.Store` is a store in strand's own terms: `GObjectStore` looks at it.

The bridge compares revisions under a lock of its own: what it promises holds between the threads of one program. A
store that several programs share implements `Strand.Store` and compares where its data are.
                                                    SPDX-License-Identifier: LGPL-2.1-or-later
"""

import threading
import uuid
from collections.abc import Iterator, MutableMapping
from datetime import datetime, timedelta
from pathlib import Path

import gi

gi.require_version("Strand", "1")
from gi.repository import GLib, GObject, Strand

from . import errors, results
from .keys import mapping_key, strand_key
from .results import ComputationResult, ComputationStatus, SerializationFormat

_PAGE = 256


def plugin_object(kind, name, **properties):
    """A new object of a plugin's type. None leaves a property at its default; ValueError for what is out of range."""
    gtype = Strand.Plugins.get_default().load(kind, name)
    given = {key: value for key, value in properties.items() if value is not None}
    for prop in GObject.list_properties(gtype):
        _check_range(name, prop, given.get(prop.name.replace("-", "_")))
    return GObject.new(gtype, **given)


def _check_range(name, prop, value):
    """GObject itself would warn, and take the default."""
    least, most = getattr(prop, "minimum", None), getattr(prop, "maximum", None)
    if least is None or not isinstance(value, (int, float)) or least <= value <= most:
        return
    raise ValueError(f"'{prop.name}' of '{name}' is from {least} to {most}, not {value}")


def microseconds(seconds):
    """Seconds, or None for none, as strand counts time."""
    return -1 if seconds is None else round(seconds * 1e6)


def _is_not_found(error):
    return error.matches(Strand.error_quark(), Strand.Error.NOT_FOUND) or error.matches(
        Strand.error_quark(), Strand.Error.INVALID_KEY
    )


class ComputationStore(MutableMapping):
    """Base class for stores: a mapping from keys to `ComputationResult`.

    A subclass implements the methods of a `MutableMapping`. A missing key may raise `KeyError` or give a result that
    is pending. Methods are called on any thread, one at a time.
    """

    def __init__(self, *, ttl_seconds=None):
        self.ttl_seconds = ttl_seconds

    def create_key(self) -> str:
        """A new key, one that nobody uses."""
        return str(uuid.uuid4())

    def is_expired(self, result) -> bool:
        """Whether a result has outlived its time to live, which counts from its end."""
        if self.ttl_seconds is None or not result.is_ready:
            return False
        return datetime.now() > (result.completed_at or result.created_at) + timedelta(seconds=self.ttl_seconds)

    def cleanup_expired(self) -> int:
        """Removes what has outlived its time to live; how many there were."""
        expired = [key for key in self if self.is_expired(self[key])]
        for key in expired:
            del self[key]
        return len(expired)

    @property
    def native(self):
        """The `Strand.Store` that backends and readers use."""
        bridge = self.__dict__.get("_bridge")
        if bridge is None:
            bridge = self.__dict__.setdefault("_bridge", _Bridge(self))
        return bridge

    def close(self) -> None:
        """Ends all use through strand."""
        self.native.close()


class GObjectStore(ComputationStore):
    """The mapping that shows any `Strand.Store`, a plugin's or one written in Python."""

    def __init__(self, store, *, serialization=SerializationFormat.JSON):
        self._store = store
        self.serialization = SerializationFormat(serialization)

    @property
    def native(self):
        return self._store

    @property
    def ttl_seconds(self):
        ttl_us = self._store.get_property("ttl")
        return None if ttl_us < 0 else ttl_us / 1e6

    @property
    def auto_cleanup(self):
        return self._store.get_property("auto-cleanup")

    @property
    def cleanup_probability(self):
        return self._store.get_property("cleanup-probability")

    def _read(self, key):
        try:
            return self._store.get(strand_key(key))
        except GLib.Error as error:
            if _is_not_found(error):
                raise KeyError(key) from None
            raise

    def __getitem__(self, key) -> ComputationResult:
        try:
            return results.from_record(self._read(key))
        except KeyError:
            if results.find_launched(strand_key(key)) is not None:
                return ComputationResult(None, ComputationStatus.PENDING)
            raise

    def __setitem__(self, key, result):
        while True:
            try:
                base = self._read(key)
            except KeyError:
                base = None
            record = results.to_record(strand_key(key), result, self._serializer(), base)
            try:
                self._store.put(record, base.get_revision() if base is not None else 0)
                return
            except GLib.Error as error:
                if error.code not in (Strand.Error.STALE, Strand.Error.EXISTS):
                    raise

    def __delitem__(self, key):
        try:
            self._store.remove(strand_key(key), 0)
        except GLib.Error as error:
            if _is_not_found(error):
                raise KeyError(key) from None
            raise

    def __iter__(self) -> Iterator[str]:
        cursor = None
        while True:
            page = self._store.list(None, cursor, _PAGE)
            yield from [mapping_key(record.get_key()) for record in page.get_records()]
            cursor = page.get_next()
            if cursor is None:
                return

    def __len__(self) -> int:
        return self._store.count(None)

    def _serializer(self):
        return plugin_object(Strand.Kind.SERIALIZER, self.serialization.serializer)

    def cleanup_expired(self) -> int:
        return self._store.cleanup_expired(-1)


class _PluginStore(GObjectStore):
    """A store of strand's, made from what its class takes."""

    def __init__(self, plugin, *, ttl_seconds, serialization, auto_cleanup, cleanup_probability, **properties):
        store = plugin_object(
            Strand.Kind.STORE,
            plugin,
            ttl=microseconds(ttl_seconds),
            auto_cleanup=auto_cleanup,
            cleanup_probability=cleanup_probability,
            **properties,
        )
        super().__init__(store, serialization=serialization)


class FileSystemStore(_PluginStore):
    """Keeps each result in a JSON file of its own, below a directory."""

    def __init__(
        self,
        base_path,
        *,
        ttl_seconds=None,
        serialization=SerializationFormat.JSON,
        auto_cleanup=True,
        cleanup_probability=0.1,
    ):
        self.base_path = Path(base_path)
        super().__init__(
            "filesystem",
            path=str(self.base_path.absolute()),
            ttl_seconds=ttl_seconds,
            serialization=serialization,
            auto_cleanup=auto_cleanup,
            cleanup_probability=cleanup_probability,
        )


class MemoryStore(_PluginStore):
    """Keeps results in this program while it lives."""

    def __init__(
        self, *, ttl_seconds=None, serialization=SerializationFormat.JSON, auto_cleanup=True, cleanup_probability=0.1
    ):
        super().__init__(
            "memory",
            ttl_seconds=ttl_seconds,
            serialization=serialization,
            auto_cleanup=auto_cleanup,
            cleanup_probability=cleanup_probability,
        )


class TemporaryStore(_PluginStore):
    """Keeps results in files that go with the store, or with the program, however that ends."""

    def __init__(
        self,
        path=None,
        *,
        ttl_seconds=None,
        serialization=SerializationFormat.JSON,
        auto_cleanup=True,
        cleanup_probability=0.1,
    ):
        super().__init__(
            "temporary",
            path=None if path is None else str(Path(path).absolute()),
            ttl_seconds=ttl_seconds,
            serialization=serialization,
            auto_cleanup=auto_cleanup,
            cleanup_probability=cleanup_probability,
        )


class SqliteStore(_PluginStore):
    """Keeps results in one SQLite database."""

    def __init__(
        self,
        path,
        *,
        ttl_seconds=None,
        serialization=SerializationFormat.JSON,
        auto_cleanup=True,
        cleanup_probability=0.1,
    ):
        self.path = Path(path)
        super().__init__(
            "sqlite",
            path=str(self.path.absolute()),
            ttl_seconds=ttl_seconds,
            serialization=serialization,
            auto_cleanup=auto_cleanup,
            cleanup_probability=cleanup_probability,
        )


class RedisStore(_PluginStore):
    """Keeps results in a redis server."""

    def __init__(
        self,
        uri="redis://localhost",
        *,
        prefix=None,
        ttl_seconds=None,
        serialization=SerializationFormat.JSON,
        auto_cleanup=True,
        cleanup_probability=0.1,
    ):
        super().__init__(
            "redis",
            uri=uri,
            prefix=prefix,
            ttl_seconds=ttl_seconds,
            serialization=serialization,
            auto_cleanup=auto_cleanup,
            cleanup_probability=cleanup_probability,
        )


class MappingStore(ComputationStore):
    """Keeps tasks as plain dictionaries in any mapping (a dict, a shelf, a driver of a database).

    An item is `{"name", "function", "args", "kwargs", "task_status", "result", "error", "record"}`. One without `record`, which
    somebody else put there, is a task to be run.
    """

    def __init__(self, mapping, *, ttl_seconds=None):
        super().__init__(ttl_seconds=ttl_seconds)
        self.mapping = mapping

    def __getitem__(self, key):
        from .readers import result_of_item

        return result_of_item(key, self.mapping[key])

    def __setitem__(self, key, result):
        from .readers import item_of_result

        self.mapping[key] = item_of_result(result, self.mapping.get(key))

    def __delitem__(self, key):
        del self.mapping[key]

    def __iter__(self):
        return iter(list(self.mapping))

    def __len__(self):
        return len(self.mapping)


class _Bridge(GObject.Object, Strand.Store):
    """Lets strand use a mapping as a store."""

    def __init__(self, mapping):
        super().__init__()
        self.mapping = mapping
        self.lock = threading.RLock()
        self.serializer = plugin_object(Strand.Kind.SERIALIZER, "json")
        self.set_property("ttl", microseconds(mapping.ttl_seconds))

    def find(self, key):
        """The record of a key, or None where the mapping has none."""
        name = mapping_key(key)
        try:
            result = self.mapping[name]
        except KeyError:
            return None
        if result is None:
            return None
        record = results.record_of(result)
        if record is not None:
            return record
        if result.status is ComputationStatus.PENDING:
            return None
        record = results.to_record(key, result, self.serializer)
        record.set_int(Strand.Field.REVISION, 1)
        return record

    def check(self, key, expected):
        """Whether the record now kept is of the revision that the writer knows."""
        record = self.find(key)
        if expected == 0 and record is not None:
            raise GLib.Error.new_literal(
                Strand.error_quark(), "a record has this key already", Strand.Error.EXISTS
            )
        if expected != 0 and (record is None or record.get_revision() != expected):
            raise GLib.Error.new_literal(Strand.error_quark(), "the record has changed", Strand.Error.STALE)

    def do_get(self, key):
        with self.lock:
            record = self.find(key)
        if record is None:
            raise GLib.Error.new_literal(Strand.error_quark(), "no record has this key", Strand.Error.NOT_FOUND)
        return record

    def do_put(self, record, expected):
        with self.lock:
            self.check(record.get_key(), expected)
            self.mapping[mapping_key(record.get_key())] = results.from_record(record)
        return True

    def do_remove(self, key, expected):
        with self.lock:
            if self.find(key) is None:
                raise GLib.Error.new_literal(
                    Strand.error_quark(), "no record has this key", Strand.Error.NOT_FOUND
                )
            if expected != 0:
                self.check(key, expected)
            del self.mapping[mapping_key(key)]
        return True

    def do_list(self, filter, cursor, limit):
        page = Strand.Page.new()
        with self.lock:
            keys = sorted(key for key in map(strand_key, self.mapping) if cursor is None or key > cursor)
            found = 0
            for key in keys:
                try:
                    record = self.find(key)
                except Exception as error:
                    page.add_unreadable(mapping_key(key), errors.to_error(error))
                    continue
                if record is None or not filter.matches(record):
                    continue
                if found == limit:
                    page.set_next(last)
                    break
                page.add(record)
                last, found = key, found + 1
        return page


def as_store(store):
    """The `ComputationStore` that something is: one already, a `Strand.Store`, or any mapping."""
    if isinstance(store, ComputationStore):
        return store
    if isinstance(store, Strand.Store):
        return GObjectStore(store)
    if isinstance(store, MutableMapping) or hasattr(store, "__getitem__"):
        return MappingStore(store)
    raise TypeError("%r is no store: a ComputationStore, a Strand.Store or a mapping is" % (store,))
