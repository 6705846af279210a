"""Programs that are a folder of jars."""

from __future__ import annotations

from pathlib import Path

_QUIET = Path(__file__).with_name("log4j2.properties")


def java(
    jars: str, main: str, *arguments: str, memory: str, flags: tuple[str, ...] = ()
) -> list[str]:
    """Return the command that runs the class `main`.

    :param jars: the folder; classes of our own are in its subfolder ``classes``.
    :param memory: the heap, all of it from the start, as ``-Xmx`` has it.
    :param flags: further options of the virtual machine.
    """
    options = (f"-Xms{memory}", f"-Xmx{memory}", f"-Dlog4j2.configurationFile={_QUIET}", *flags)
    return ["java", *options, "-cp", f"{jars}/classes:{jars}/*", main, *arguments]
