"""Hashing: the same for nobody, bounded; no place is free before its hash is done. THREAT-T19."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from service.kernel.passwords import Passwords
from service.kernel.problems import ProblemError

RIGHT = "Teal-Heron.49 naps"


@pytest.fixture(name="passwords")
def _passwords() -> Iterator[Passwords]:
    made = Passwords(waiting_max=2)
    yield made
    made.close()


async def test_a_password_fits_its_own_hash_alone(passwords: Passwords) -> None:
    found = await passwords.hash(RIGHT)
    assert found.startswith("$argon2id$v=19$m=7168,t=5,p=1$")
    assert await passwords.fits(found, RIGHT)
    assert not await passwords.fits(found, RIGHT + "x")
    assert not await passwords.fits(None, RIGHT)
    assert not await passwords.fits("no hash", RIGHT)


async def test_T19_who_hangs_up_keeps_their_place_until_it_is_done(passwords: Passwords) -> None:
    """The negative control: without the shield the place is free while the thread still works."""
    go, begun = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait()

    asked = [asyncio.create_task(passwords.run(work)) for _ in range(2)]
    await asyncio.to_thread(begun.wait)
    for task in asked:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    with pytest.raises(ProblemError, match="overloaded"):
        await passwords.hash(RIGHT)
    go.set()
    await asyncio.get_running_loop().run_in_executor(passwords._thread, lambda: None)
    await asyncio.sleep(0)  # what is done is told in the loop's next turn
    assert await passwords.hash(RIGHT)


async def test_T19_too_many_are_turned_away_at_once(passwords: Passwords) -> None:
    answers = await asyncio.gather(
        *(passwords.fits(None, RIGHT) for _ in range(20)), return_exceptions=True
    )
    refused = [answer for answer in answers if isinstance(answer, ProblemError)]
    assert len(refused) == 18
    assert {error.code.status for error in refused} == {503}
    assert [answer for answer in answers if answer is False] == [False, False]
