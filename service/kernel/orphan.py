"""A worker ends with its supervisor, however the supervisor ended.

The workers of a service listen on one port together. One that outlived a killed supervisor would
go on taking its share of the connections of the supervisor's successor, while the database it
talks to is going away.
"""

import multiprocessing
import os
import signal
import threading

POLL_S = 0.2


def end_with_supervisor() -> None:
    """End this worker process at once when the process that started it ends.

    Ends like a kill: what was acknowledged is durable, what was not is sent again under its key.
    Outside a worker process there is nothing to do.
    """
    supervisor = multiprocessing.parent_process()
    if supervisor is not None:
        watch = threading.Thread(target=_watch, args=(supervisor.pid,), name="orphan", daemon=True)
        watch.start()


def _watch(supervisor_pid: int) -> None:
    """In a thread: a busy loop delays nothing. By pid: siblings may hold copies of any pipe."""
    pause = threading.Event()
    while os.getppid() == supervisor_pid:
        pause.wait(POLL_S)
    os.kill(os.getpid(), signal.SIGKILL)
