"""Handles are awaited, and items come by `async for`.                  SPDX-License-Identifier: LGPL-2.1-or-later"""

import asyncio
import threading
import unittest

import sample_functions

import strand
from strand import CoroutineTaskrunner, MultiprocessTaskrunner, ThreadTaskrunner, as_task
from support import PATIENCE, Collector


async def _awaited(handle):
    return await handle


class Awaiting(unittest.IsolatedAsyncioTestCase):
    async def test_value(self):
        for runner in (ThreadTaskrunner, MultiprocessTaskrunner, CoroutineTaskrunner):
            with self.subTest(runner.__name__):
                self.assertEqual(await runner(sample_functions.square)(12), 144)

    async def test_call_that_has_ended(self):
        handle = ThreadTaskrunner(sample_functions.square)(3)
        self.assertEqual([await handle, await handle], [9, 9])

    async def test_exception(self):
        for runner in (ThreadTaskrunner, MultiprocessTaskrunner, CoroutineTaskrunner):
            with self.subTest(runner.__name__):
                with self.assertRaises(sample_functions.OwnError) as caught:
                    await runner(sample_functions.fail)("own", "gone", 7)
                self.assertEqual(caught.exception.number, 7)

    async def test_helpers_of_asyncio_take_handles(self):
        task = ThreadTaskrunner(sample_functions.square)
        self.assertEqual(await asyncio.wait_for(task(3), PATIENCE), 9)
        ended, _ = await asyncio.wait([asyncio.ensure_future(_awaited(task(4)))], timeout=PATIENCE)
        self.assertEqual([each.result() for each in ended], [16])
        self.assertEqual(await asyncio.shield(asyncio.ensure_future(task(5))), 25)

    async def test_calls_within_a_coroutine_that_is_a_call(self):
        task = ThreadTaskrunner(sample_functions.square)

        @as_task("coroutine")
        async def sum_of_squares(count):
            return sum(await asyncio.gather(*map(task, range(count))))

        self.assertEqual(await sum_of_squares(4), 14)

    async def test_many_at_once(self):
        task = ThreadTaskrunner(sample_functions.square)
        self.assertEqual(await asyncio.gather(*map(task, range(500))), [n * n for n in range(500)])

    async def test_cancelled_wait_cancels_the_call(self):
        handle = ThreadTaskrunner(sample_functions.wait_in_vain)()
        waiting = asyncio.ensure_future(handle._wait_in_loop())
        await asyncio.sleep(0)
        waiting.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waiting
        with self.assertRaises(strand.CancelledError):
            await asyncio.wait_for(asyncio.get_running_loop().run_in_executor(None, handle.get_result, PATIENCE), PATIENCE)


class Iterating(unittest.IsolatedAsyncioTestCase):
    async def test_every_item_comes_in_order(self):
        for runner in (ThreadTaskrunner, MultiprocessTaskrunner, CoroutineTaskrunner):
            with self.subTest(runner.__name__):
                items = [item async for item in runner(sample_functions.chunks)(1000, 2)]
                self.assertEqual(items, [range(start, start + 2) for start in range(0, 1000, 2)])

    async def test_slow_consumer_holds_the_producer_back(self):
        made = []

        def produce():
            for number in range(20000):
                made.append(number)
                yield number

        # Some hundred come in one turn; how many depends on the machine.
        ahead = 0
        async for number in ThreadTaskrunner(produce)():
            await asyncio.sleep(0)
            ahead = max(ahead, len(made) - number)
        self.assertEqual(len(made), 20000)
        self.assertLess(ahead, 10000)

    async def test_exception_after_the_items(self):
        def produce():
            yield 1
            raise ValueError("no more")

        items = []
        with self.assertRaisesRegex(ValueError, "no more"):
            async for item in ThreadTaskrunner(produce)():
                items.append(item)
        self.assertEqual(items, [1])

    async def test_value_without_the_items(self):
        self.assertEqual(await ThreadTaskrunner(sample_functions.chunks)(1000, 2), 1000)

    async def test_consumer_that_stops_stops_the_function(self):
        closed = threading.Event()

        def produce():
            try:
                while True:
                    yield 1
            finally:
                closed.set()

        handle = ThreadTaskrunner(produce)()
        items = handle.__aiter__()
        self.assertEqual(await items.__anext__(), 1)
        await items.aclose()
        self.assertTrue(await asyncio.get_running_loop().run_in_executor(None, closed.wait, PATIENCE))

    async def test_call_without_items(self):
        handle = ThreadTaskrunner(sample_functions.square)(1)
        with self.assertRaisesRegex(TypeError, "no items to iterate"):
            async for _ in handle:
                pass
        await handle


class Coroutines(unittest.IsolatedAsyncioTestCase):
    async def test_runs_in_the_loop_that_runs_here(self):
        @as_task("coroutine")
        async def where():
            await asyncio.sleep(0)
            return threading.get_ident(), asyncio.get_running_loop()

        self.assertEqual(await where(), (threading.get_ident(), asyncio.get_running_loop()))

    async def test_callbacks_come_in_the_loop(self):
        seen = Collector()

        async def produce():
            for number in range(3):
                yield number

        await CoroutineTaskrunner(produce, **seen.callbacks)()
        self.assertEqual((seen.items, seen.ends), ([0, 1, 2], [None]))
        self.assertEqual(seen.threads, {threading.get_ident()})

    async def test_others_have_a_turn_between_items(self):
        order = []

        async def note(number):
            order.append(number)

        def produce():
            for number in range(3):
                asyncio.ensure_future(note(number))
                yield number

        await CoroutineTaskrunner(produce, on_iter=lambda item: order.append(f"item {item}"))()
        self.assertEqual(order, ["item 0", 0, "item 1", 1, "item 2", 2])
        order.clear()
        await CoroutineTaskrunner(produce, on_iter=lambda item: order.append(f"item {item}"), yield_on_iter=False)()
        self.assertEqual(order[:3], ["item 0", "item 1", "item 2"])

    async def test_cancel_unwinds(self):
        unwound = []
        begun = asyncio.Event()

        @as_task("coroutine")
        async def sleep():
            try:
                begun.set()
                await asyncio.sleep(3600)
            finally:
                unwound.append(True)

        handle = sleep()
        await begun.wait()
        handle.cancel()
        with self.assertRaises(strand.CancelledError):
            await handle
        self.assertEqual(unwound, [True])

    async def test_wait_that_would_never_end_is_refused(self):
        @as_task("coroutine")
        async def nothing():
            pass

        handle = nothing()
        with self.assertRaises(strand.StrandError) as caught:
            handle.get_result(timeout=PATIENCE)
        self.assertEqual(caught.exception.code, strand.calls.Strand.Error.WOULD_DEADLOCK)
        await handle
