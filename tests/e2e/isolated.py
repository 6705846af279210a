"""Runs inside a network namespace of its own: a scripted model, and a command that asks it.

`python isolated.py SCRIPT.json COMMAND…`: brings loopback up, serves the script, puts the
endpoint's address where the command says {url}, runs it and exits with its status. Nothing but
loopback can be reached from here. Where the command says {otlp}, a receiver is there, too, and
what it took is in `otlp.jsonl` beside the script: a request a line, its ids in hex.
"""

from __future__ import annotations

import base64
import fcntl
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from google.protobuf import json_format

from tests.support.model_endpoint import ModelEndpoint
from tests.support.otlp_receiver import http_receiver

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
        if not any("{otlp}" in word for word in command):
            return subprocess.call(command)
        return received(command, Path(sys.argv[1]).with_name("otlp.jsonl"))


def received(command: list[str], path: Path) -> int:
    """Run a command beside a receiver; write what that took."""
    with http_receiver() as receiver:
        status = subprocess.call([word.replace("{otlp}", receiver.url) for word in command])
        with path.open("w") as file:
            for signal, request in receiver.requests:
                told = json_format.MessageToDict(request, use_integers_for_enums=True)
                file.write(json.dumps({"signal": signal, **in_hex(told)}) + "\n")
    return status


def in_hex(told: Any) -> Any:
    """Return what protobuf's own JSON says with ids as OTLP's has them."""
    if isinstance(told, list):
        return [in_hex(each) for each in told]
    if not isinstance(told, dict):
        return told
    ids = {"traceId", "spanId", "parentSpanId"}
    return {
        name: base64.b64decode(each).hex() if name in ids else in_hex(each)
        for name, each in told.items()
    }


if __name__ == "__main__":
    sys.exit(main())
