"""redis-py's clients, extended to note keys of the wrong type.

This relies on undocumented parts of redis-py: every call of a client goes through `execute_command`, the parts of a
pipeline, and that all calls of a Cluster's server share the pool of one client.
tests/internals/test_redis_clients_internals.py checks this.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import redis

from app.store.server.wrong_types import note


class Client(redis.Redis):
    """redis-py's client, which notes keys of the wrong type."""

    @property
    def whole_store(self) -> Any:
        """A client for all keys, to write the notes with."""
        return self

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """The same as redis-py's."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            note(self.whole_store, error, [args])
            raise

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        """The same as redis-py's."""
        return _Pipeline(self, self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _Pipeline(redis.client.Pipeline):
    def __init__(self, client: Client, *args: Any) -> None:
        super().__init__(*args)
        self._client = client

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands = [args for args, _ in self.command_stack]
        try:
            answers = super().execute(raise_on_error)
        except redis.ResponseError as error:
            note(self._client.whole_store, error, commands)
            raise
        _note_answers(self._client.whole_store, commands, answers)
        return answers


class ClusterClient(redis.RedisCluster):
    """The same for a Cluster."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self._clients: WeakKeyDictionary[redis.Redis, _ServerClient] = WeakKeyDictionary()
        super().__init__(*args, **options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """The same as redis-py's."""
        try:
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            note(self, error, [args])
            raise

    def pipeline(self, transaction: Any = None, shard_hint: Any = None) -> Any:
        """The same as redis-py's."""
        pipeline: Any = super().pipeline(transaction, shard_hint)  # type: ignore[no-untyped-call]
        execute = pipeline.execute

        def noting(raise_on_error: bool = True) -> list[Any]:
            commands = [command.args for command in pipeline._execution_strategy.command_queue]
            try:
                answers: list[Any] = execute(raise_on_error)
            except redis.ResponseError as error:
                note(self, error, commands)
                raise
            _note_answers(self, commands, answers)
            return answers

        pipeline.execute = noting
        return pipeline

    def server_of(self, key: str) -> Client:
        """Return a client of the one server that has a key, always the same client. It follows no redirections."""
        found = self.get_redis_connection(self.get_node_from_key(key))  # type: ignore[no-untyped-call]
        made = self._clients.get(found)
        if made is None:
            made = self._clients.setdefault(found, _ServerClient(self, found.connection_pool))
        return made


class _ServerClient(Client):
    """A client of one server of a Cluster."""

    def __init__(self, cluster: ClusterClient, pool: redis.ConnectionPool) -> None:
        self._cluster = cluster
        super().__init__(connection_pool=pool)

    @property
    def whole_store(self) -> Any:
        return self._cluster


def _note_answers(client: Any, commands: list[Any], answers: list[Any]) -> None:
    """Note errors among the answers, which are only there if the caller wants no exception."""
    for args, answer in zip(commands, answers, strict=False):
        if isinstance(answer, redis.ResponseError):
            note(client, answer, [args])
