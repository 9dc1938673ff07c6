"""No test touches the network: this file forbids it to the Python that loads it.

A Python that finds a module of this name on its path imports it when it starts. `conftest.py` puts this folder on
PYTHONPATH, so that pytest's workers, the notebooks' kernels and whatever else a test starts obey the same rule.
"""

import socket
import sys

RULE = "tests use no network (tests/offline/sitecustomize.py): only this machine may be reached, but this asked for"
_CONNECTS = {"socket.connect", "socket.sendto", "socket.sendmsg"}  # (socket, address)
_LOOK_UPS = {"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"}  # (host, …)


class NetworkForbiddenError(RuntimeError):
    """A test asked for another machine. No OSError: code that falls back when offline shall not hide it."""


def is_this_machine(host: object) -> bool:
    """Whether a host name or address means the machine that we run on."""
    host = host.decode() if isinstance(host, bytes) else host
    if not isinstance(host, str):
        return True  # nobody in particular, or not the internet (netlink)
    here = socket.gethostname()
    return host.startswith(("127.", "::ffff:127.")) or host in {"", "localhost", "::1", "::", "0.0.0.0", here,
                                                                f"{here}.local"}


def _forbid(event: str, args: tuple) -> None:
    if event in _CONNECTS:
        address = args[1]
        host = address[0] if isinstance(address, tuple) and address else None  # a Unix socket has a path
    elif event in _LOOK_UPS:
        host = args[0]
    else:
        return
    if not is_this_machine(host):
        raise NetworkForbiddenError(f"{RULE} {host}")


sys.addaudithook(_forbid)
