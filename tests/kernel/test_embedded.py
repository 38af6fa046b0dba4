"""The embedded PostgreSQL with real processes: what is killed, and what is left afterwards."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import asyncpg
import pytest

from service.kernel import embedded
from service.kernel.embedded_site import find_site
from tests.kernel.embedded_tools import (
    Starter,
    alive,
    eventually,
    execute,
    guardian_pid,
    open_folder,
    processes_of,
    reachable,
)


async def test_data_is_kept_between_starts() -> None:
    with open_folder() as folder:
        with embedded.running(folder / "new" / "data") as first:
            await execute(first.owner_dsn, "create table kept as select 42 as value")
        assert first.postmaster_pid is None
        with embedded.running(folder / "new" / "data") as second:
            assert await execute(second.owner_dsn, "select value from kept") == 42
        assert (second.port, second.owner_dsn) == (first.port, first.owner_dsn)


async def test_temporary_server_leaves_nothing() -> None:
    with embedded.temporary() as server:
        assert await execute(server.app_dsn, "select 1") == 1
    assert not server.data_dir.exists()
    assert not processes_of(server.data_dir)


def test_killed_starter_takes_the_server_along(data_dir: Path) -> None:
    starter = Starter(data_dir)
    server = starter.answer()
    assert alive(int(server["pid"]))
    starter.kill()
    eventually(lambda: not alive(int(server["pid"])), "the postmaster ends")
    eventually(lambda: not processes_of(data_dir), "backends and guardian end")
    Starter(data_dir).finish()


def test_a_leaked_copy_of_the_pipe_keeps_nothing_alive(data_dir: Path) -> None:
    starter = Starter(data_dir, "leak")
    server = starter.answer()
    starter.process.kill()
    starter.process.wait()
    try:
        eventually(lambda: not processes_of(data_dir), "the server ends")
        assert alive(int(server["leaked"]))
    finally:
        os.kill(int(server["leaked"]), signal.SIGKILL)
        starter.process.communicate()


async def test_a_forked_child_neither_stops_nor_keeps_the_server(data_dir: Path) -> None:
    with embedded.running(data_dir) as server:
        pipe = embedded._owned[server.data_dir].stdin
        assert pipe
        pipe_fd = pipe.fileno()
        child = os.fork()
        if child == 0:
            embedded.stop(server)
            embedded._end_all()
            os._exit(3 if Path(f"/dev/fd/{pipe_fd}").exists() else 4)
        _, status = os.waitpid(child, 0)  # noqa: ASYNC222  # a bare fork ends at once
        assert os.waitstatus_to_exitcode(status) == 4, "the copy is closed"
        # Only a guardian that wasn't told to stop starts it again.
        assert server.postmaster_pid
        os.kill(server.postmaster_pid, signal.SIGKILL)
        await (await reachable(server.app_dsn)).close()


async def test_killed_postmaster_comes_back_with_what_was_committed(data_dir: Path) -> None:
    with embedded.running(data_dir) as server:
        await execute(server.owner_dsn, "create table kept as select 7 as value")
        for _ in range(2):
            former = server.postmaster_pid
            assert former
            # A backend that computes doesn't notice that its postmaster is gone.
            busy = asyncio.create_task(
                execute(server.owner_dsn, "select count(*) from generate_series(1, 1e12)")
            )
            running = "select count(*) from pg_stat_activity where query like '%generate_series%'"
            while await execute(server.admin_dsn, running) != 2:  # noqa: ASYNC110  # itself and the busy one
                await asyncio.sleep(0.02)
            os.kill(former, signal.SIGKILL)
            with pytest.raises((asyncpg.PostgresError, ConnectionError)):
                await asyncio.wait_for(busy, 30)
            connection = await reachable(server.owner_dsn)
            assert await connection.fetchval("select value from kept") == 7
            assert server.postmaster_pid != former
            await connection.close()


async def test_killed_guardian_takes_the_server_along_and_the_next_start_works(
    data_dir: Path,
) -> None:
    server = embedded.start(data_dir)
    former = server.postmaster_pid
    assert former
    os.kill(guardian_pid(server), signal.SIGKILL)
    if sys.platform == "linux":
        eventually(lambda: former not in processes_of(data_dir), "the postmaster ends")
    embedded.stop(server)
    with embedded.running(data_dir) as again:
        assert again.owned
        assert again.postmaster_pid != former
        assert await execute(again.app_dsn, "select 1") == 1


async def test_a_leftover_server_without_guardian_is_replaced(data_dir: Path) -> None:
    site = find_site(data_dir)
    leftover = subprocess.Popen(
        [site.bin_dir / "postgres", "-D", site.cluster_dir, "-h", "", "-k", site.cluster_dir],
        user=site.user.user_id if site.user else None,
        group=site.user.group_id if site.user else None,
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    eventually((site.cluster_dir / "postmaster.pid").exists, "the leftover server is up")
    with embedded.running(data_dir) as server:
        assert leftover.wait(30) is not None
        assert server.owned
        assert await execute(server.app_dsn, "select 1") == 1


async def test_a_stale_pid_file_that_names_another_process_is_no_obstacle(data_dir: Path) -> None:
    site = find_site(data_dir)
    user = site.user
    bystander = subprocess.Popen(
        ["sleep", "600"],
        user=user.user_id if user else None,
        group=user.group_id if user else None,
    )
    try:
        pid_file = site.cluster_dir / "postmaster.pid"
        pid_file.write_text(f"{bystander.pid}\n{site.cluster_dir}\n0\n1\n\n127.0.0.1\n\nready   \n")
        if user:
            os.chown(pid_file, user.user_id, user.group_id)
        with embedded.running(data_dir) as server:
            assert await execute(server.app_dsn, "select 1") == 1
        assert bystander.poll() is None, "a process that isn't ours must not be touched"
    finally:
        bystander.kill()
        bystander.wait()


def test_of_two_starters_at_once_one_owns_the_server() -> None:
    with open_folder() as folder:
        starters = [Starter(folder / "data") for _ in range(3)]
        servers = [starter.answer() for starter in starters]
        assert sorted(server["owned"] for server in servers) == [False, False, True]
        assert len({server["dsn"] for server in servers}) == 1
        owner = next(s for s, server in zip(starters, servers, strict=True) if server["owned"])
        for starter in starters:
            if starter is not owner:
                starter.finish()
        assert alive(int(servers[0]["pid"])), "who joined has no say in the end"
        owner.finish()
        assert not alive(int(servers[0]["pid"]))


async def test_a_taken_port_is_replaced(data_dir: Path) -> None:
    with embedded.running(data_dir) as first:
        pass
    with socket.create_server(("127.0.0.1", first.port)), embedded.running(data_dir) as second:
        assert second.port != first.port
        assert await execute(second.app_dsn, "select 1") == 1
    with embedded.running(data_dir) as third:
        assert third.port == second.port
