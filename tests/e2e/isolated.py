"""Runs inside a network namespace of its own: a scripted model, and a command that asks it.

`python isolated.py SCRIPT.json COMMAND…`: brings loopback up, serves the script, puts the
endpoint's address where the command says {url}, runs it and exits with its status. Nothing but
loopback can be reached from here.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.model_endpoint import ModelEndpoint

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def loopback_up() -> None:
    """What `ip link set lo up` does, see netdevice(7)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        request = struct.pack("16sH14x", b"lo", 0)
        (flags,) = struct.unpack_from("H", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | _IFF_UP))


def main() -> int:
    loopback_up()
    script = json.loads(Path(sys.argv[1]).read_text())
    with ModelEndpoint(script) as endpoint:
        command = [word.replace("{url}", endpoint.url) for word in sys.argv[2:]]
        return subprocess.call(command)


if __name__ == "__main__":
    sys.exit(main())
