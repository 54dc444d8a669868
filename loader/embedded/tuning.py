"""The server's settings, by the machine's memory and cores."""

import os
import shutil
from contextlib import suppress
from pathlib import Path

from loader.settings import cores

PORT = "5432"  # only names the socket's file: the server doesn't listen on TCP
SOCKET = f".s.PGSQL.{PORT}"

_MB = 1024 * 1024
#: Most workers of a query: more would wait for the process that writes their rows.
_MOST_WORKERS = 8


def server_settings() -> dict[str, str]:
    """Return settings for bulk loads. fsync, full_page_writes and synchronous_commit stay on."""
    ram, workers = _memory_mb(), cores()
    of_a_query = str(min(max(workers, 2), _MOST_WORKERS))
    settings = {
        "listen_addresses": "",
        "port": PORT,
        "unix_socket_permissions": "0700",
        "maintenance_work_mem": f"{min(max(ram // 16, 64), 512)}MB",
        "work_mem": f"{min(max(ram // 64, 4), 64)}MB",
        "max_parallel_workers_per_gather": of_a_query,
        "max_parallel_maintenance_workers": of_a_query,
        "max_parallel_workers": str(max(workers, 8)),
        "max_worker_processes": str(max(workers, 8)),
        # Months are read and written once, through the system's cache. Larger shared_buffers than
        # the default 128 MB would cache pages twice, and asynchronous I/O adds a hop.
        "io_method": "sync",
        "effective_io_concurrency": "1",
        # Nothing replicates this server: a table filled in the transaction that created it is
        # synced to disk instead of going through the WAL.
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "max_wal_size": "8GB",
        "checkpoint_timeout": "30min",
        # A query over all months of a dataset locks each partition and its index: ten queries over
        # 600 months must fit.
        "max_locks_per_transaction": "256",
        "jit": "off",
        "datestyle": "ISO,MDY",
        "timezone": "UTC",
        "log_timezone": "UTC",
    }
    # A container's /dev/shm has 64 MB by default, which a parallel hash join overflows.
    shm = Path("/dev/shm")  # noqa: S108 - only looked at
    if shm.exists() and shutil.disk_usage(shm).total < 1024 * _MB:
        settings["dynamic_shared_memory_type"] = "mmap"
    return settings


def _memory_mb() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):  # no cgroup, or "max"
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return memory // _MB
