"""Calls that are cancelled, closed or waiting, and the resources that the relay's HTTP client holds."""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
from functools import partial
from typing import Any

import pytest
from raw_servers import (
    OK,
    Connection,
    answer_ok,
    answering,
    blackhole,
    client,
    drip_body,
    hang,
    post,
    run,
    serve,
)

from app.base.addresses import AddressGuard
from workers.http.client import Client
from workers.http.easy_handle import Call
from workers.http.messages import Response

__all__ = ["blackhole"]  # a fixture


# Cancelling, closing, waiting


def test_a_cancelled_call_is_not_reported_and_its_connection_is_closed() -> None:
    gone = asyncio.Event()

    async def watch(connection: Connection) -> None:
        await connection.request()
        assert await connection.reader.read(1) == b""
        gone.set()

    async def scenario() -> None:
        async with serve(watch) as server, client() as http:
            seen: list[Response] = []
            handle = http.send(post(server.url), seen.append)
            await asyncio.sleep(0.05)
            http.cancel(handle)
            http.cancel(handle)
            assert http.active == 0
            await asyncio.wait_for(gone.wait(), 1)
            task = asyncio.ensure_future(http.fetch(post(server.url)))
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])
            assert http.active == 0 and seen == []

    run(scenario)


def test_a_task_cancelled_at_the_moment_of_the_response_logs_no_error() -> None:
    async def scenario() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with serve(answer_ok) as server, client() as http:
            tasks = [asyncio.ensure_future(http.fetch(post(server.url))) for _ in range(50)]
            await asyncio.sleep(0)

            # One answer cancels them all, those included whose answers came in the same breath.
            def cancel_all(_: Response) -> None:
                for task in tasks:
                    task.cancel()

            http.send(post(server.url), cancel_all)
            await asyncio.wait(tasks)
            assert http.active == 0
        assert reported == []

    run(scenario)


def test_an_old_handle_does_not_cancel_another_call() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            first: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
            handle = http.send(post(server.url), first.set_result)
            await first
            task = asyncio.ensure_future(http.fetch(post(server.url)))
            await asyncio.sleep(0)
            http.cancel(handle)
            assert (await task).ok

    run(scenario)


def test_a_callback_can_cancel_other_calls_and_send_more() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            seen: list[int] = []
            finished = asyncio.Event()
            handles: list[Call] = []

            def answered(number: int, _: Response) -> None:
                seen.append(number)
                if number < 100:
                    for handle in handles:
                        http.cancel(handle)
                    http.send(post(server.url), partial(answered, 100))
                else:
                    finished.set()

            for number in range(50):
                handles.append(http.send(post(server.url), partial(answered, number)))
            await finished.wait()
            await asyncio.sleep(0.1)
            assert len(seen) == 2 and http.active == 0

    run(scenario)


def test_a_callback_that_raises_does_not_affect_other_calls() -> None:
    async def scenario() -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        async with serve(answer_ok) as server, client() as http:
            http.send(post(server.url), lambda _: 1 / 0)  # type: ignore[arg-type]
            assert (await http.fetch(post(server.url))).ok
            await asyncio.sleep(0.05)
        assert isinstance(reported[0]["exception"], ZeroDivisionError)

    run(scenario)


def test_closing_ends_every_running_or_waiting_call() -> None:
    async def scenario() -> None:
        async with serve(hang) as server:
            async with client(max_connections=2) as http:
                tasks = [asyncio.ensure_future(http.fetch(post(server.url))) for _ in range(5)]
                await asyncio.sleep(0.05)
                assert http.active == 5
            assert [(await task).error for task in tasks] == ["closed"] * 5
            await http.close()
            with pytest.raises(RuntimeError):
                http.send(post(server.url), lambda _: None)

    run(scenario)


def test_calls_beyond_max_connections_wait_in_order_before_their_timeout_starts() -> None:
    async def slow(connection: Connection) -> None:
        while True:
            await connection.request()
            await asyncio.sleep(0.1)
            await connection.send(OK)

    async def scenario() -> None:
        async with serve(slow) as server, client(max_connections=2) as http:
            order: list[int] = []

            async def one(number: int) -> None:
                response = await http.fetch(post(server.url, timeout=0.3))
                assert response.ok and response.duration < 0.3
                order.append(number)

            tasks = [asyncio.ensure_future(one(number)) for number in range(12)]
            await asyncio.sleep(0.01)
            tasks[5].cancel()
            await asyncio.wait(tasks)
            assert server.connections == 2
            assert order == [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11] and http.active == 0

    run(scenario)


def test_idle_connections_are_closed_for_connections_to_other_hosts() -> None:
    async def scenario() -> None:
        async with serve(answer_ok, host="0.0.0.0") as server, client(max_connections=4) as http:
            begun = time.monotonic()
            urls = [f"http://127.0.0.{n}:{server.port}/" for n in range(1, 41)]
            for _ in range(2):
                responses = await asyncio.gather(*(http.fetch(post(url)) for url in urls))
                assert all(response.ok for response in responses)
            assert time.monotonic() - begun < 2

    run(scenario)


# Resources


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_failed_calls_leave_no_socket_open(blackhole: int) -> None:
    async def scenario() -> None:
        async with (
            client(connect_timeout=0.2) as http,
            serve(answering(b"garbage")) as garbage,
            serve(drip_body) as drip,
            serve(answering(b"")) as empty,
        ):
            await http.fetch(post(empty.url))
            before = _descriptors()
            urls = [garbage.url, drip.url, empty.url, f"http://127.0.0.1:{blackhole}/", "http://127.0.0.1:1/"]
            for _ in range(3):
                await asyncio.gather(*(http.fetch(post(url, timeout=0.3)) for url in urls * 10))
            await asyncio.sleep(0.2)
            assert _descriptors() <= before + 2 and http.active == 0

    before = _descriptors()
    run(scenario)
    assert _descriptors() == before


def test_a_finished_call_keeps_no_reference_to_its_body() -> None:
    async def scenario() -> None:
        body = bytes(100_000)
        async with serve(answer_ok) as server, client() as http:
            await http.fetch(post(server.url, body))
            await http.fetch(post("http://127.0.0.1:1/", body))
            server.requests.clear()
            assert sys.getrefcount(body) == 2

    run(scenario)


def test_without_file_descriptors_a_call_fails_and_later_calls_succeed() -> None:
    async def scenario() -> None:
        async with serve(answer_ok) as server, client() as http:
            await http.fetch(post("http://127.0.0.1:1/"))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
            try:
                response = await http.fetch(post(server.url))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert (response.status, response.error) == (0, "connect_failed")
            assert (await http.fetch(post(server.url))).ok

    run(scenario)


def test_a_client_belongs_to_a_running_loop() -> None:
    with pytest.raises(RuntimeError):
        Client(AddressGuard(""), user_agent="x")
