"""Who runs the server, and who may connect: Postgres refuses root."""

import os
import pwd
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from loader.embedded.wheel import program_path
from loader.errors import WarehouseError

_CAPABILITIES = {"dac_read_search": 1 << 2, "dac_override": 1 << 1}  # bits of CapEff


def server_user(data_dir: Path) -> pwd.struct_passwd:
    """Return the user who runs the server: ours, or the data's owner if we are root."""
    us = os.geteuid()
    owner = data_dir.stat().st_uid if data_dir.exists() else us
    try:
        if us == 0:
            return pwd.getpwuid(owner) if owner else pwd.getpwnam("nobody")
        user = pwd.getpwuid(us)
    except KeyError as error:
        raise WarehouseError(
            f"embedded Postgres: its user has no entry in /etc/passwd ({error.args[0]}):"
            " add one, or use --target postgres"
        ) from error
    if owner != us:
        raise WarehouseError(
            f"embedded Postgres: {data_dir} belongs to another user (uid {owner}):"
            " run as that user or root, or set TLC_LOCAL_DIR to another folder"
        )
    return user


def as_server_user(user: pwd.struct_passwd, data_dir: Path) -> list[str]:
    """Return the command prefix that makes a program run as the server's user."""
    if user.pw_uid == os.geteuid():
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise WarehouseError(
            "embedded Postgres: Postgres refuses to run as root, and setpriv (of util-linux) is"
            " not there to change the user: run as a normal user, or use --target postgres"
        )
    command = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    parents = {*data_dir.resolve().parents, *program_path("postgres").resolve().parents}
    if any(not folder.stat().st_mode & stat.S_IXOTH for folder in parents):
        # The project is in a folder that only root may enter. We don't change its mode, so the
        # server gets the one privilege to pass through. Without no_setuid_fixup, access(2),
        # with which Postgres looks for its own files, wouldn't honour it.
        capability = _passing_capability()
        command += [
            "--securebits=+no_setuid_fixup",
            f"--inh-caps=-all,+{capability}",
            f"--ambient-caps=-all,+{capability}",
        ]
    return command


def _passing_capability() -> str:
    # Containers, by default, only have the stronger of the two.
    lines = Path("/proc/self/status").read_text().splitlines()
    ours = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff"))
    for name, bit in _CAPABILITIES.items():
        if ours & bit:
            return name
    raise WarehouseError(
        "embedded Postgres: the server, which can't run as root, can't reach the project or its"
        " Python packages: move them out of folders that only root may enter"
    )


def claim_socket_dir(path: Path, user: pwd.struct_passwd) -> None:
    """Create the socket's folder for the server only; refuse a folder of another user."""
    with suppress(FileExistsError):
        path.mkdir(mode=0o700)
    try:
        # By file descriptor, as anybody may put things into /tmp.
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise WarehouseError(
            f"embedded Postgres: {path} is not a folder of ours ({error.strerror}): remove it"
        ) from error
    try:
        owner = os.fstat(folder).st_uid
        if owner not in (os.geteuid(), user.pw_uid):
            raise WarehouseError(
                f"embedded Postgres: {path} belongs to another user (uid {owner}): remove it"
            )
        os.fchown(folder, user.pw_uid, user.pw_gid)
        os.fchmod(folder, 0o700)
    finally:
        os.close(folder)


def access_rules(local_dir: Path, user: pwd.struct_passwd) -> dict[str, str]:
    """Write the access rules (root and the server's user may connect); return their settings.

    Not in the data folder, which belongs to another user: root shouldn't write there by name.
    """
    # When the user `nobody` runs the server for root, other programs of that user can enter the
    # socket's folder. They must not connect: a superuser reads files with the server's privileges.
    names = {pwd.getpwuid(0).pw_name, user.pw_name} - {"nobody"}
    hba, ident = local_dir / "pg_hba.conf", local_dir / "pg_ident.conf"
    hba.write_text("local all all peer map=owners\n")
    ident.write_text("".join(f'owners "{name}" all\n' for name in sorted(names)))
    return {"hba_file": str(hba), "ident_file": str(ident)}
