"""Where other people's code is wrapped, and that it is given back as it was."""

from __future__ import annotations

import logging
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import wrapt
from packaging.version import InvalidVersion, Version

from otel_untether.instrumentors.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeAlias

    Wrapper: TypeAlias = Callable[
        [Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any
    ]  # as wrapt has it: the wrapped function, what it is bound to, its arguments

_log: Final = logging.getLogger("otel_untether")


class Seam(NamedTuple):
    """One function of somebody else's: `attribute` (``Class.method``) of `module`.

    `gives` says what is off where it is missing, for a person to read; `distribution` is the
    package whose version is named then, None for Python itself. Versions before `since` never had
    it, and nobody is warned.
    """

    gives: str
    module: str
    attribute: str
    distribution: str | None = None
    since: str = "0"

    @property
    def expected(self) -> bool:
        """Whether the version that is installed has it, as far as we know."""
        if self.distribution is None or self.since == "0":
            return True
        try:
            return Version(metadata.version(self.distribution)) >= Version(self.since)
        except (metadata.PackageNotFoundError, InvalidVersion):
            return True

    def locate(self, *, instances: bool = False) -> tuple[Any, str] | None:
        """Return the object that has the function, and its name there; None where it has not.

        With `instances` it is a field of a class's instances.
        """
        *path, name = self.attribute.split(".")
        try:
            owner: Any = import_module(self.module)
            for step in path:
                owner = getattr(owner, step)
        except (ImportError, AttributeError):
            return None
        if instances:
            kept = name in getattr(owner, "__annotations__", ()) and name not in vars(owner)
            return (owner, name) if kept else None
        return (owner, name) if callable(getattr(owner, name, None)) else None


class Patch:
    """One attribute, wrapped until `restore`.

    Where somebody has wrapped it after us it stays in its place, and does nothing any more.
    """

    def __init__(self, owner: Any, name: str, wrapper: Wrapper) -> None:
        self._owner, self._name = owner, name
        self._inherited = name not in vars(owner)
        self._original = getattr(owner, name) if self._inherited else vars(owner)[name]
        self._active = True
        self._wrapped = wrapt.FunctionWrapper(self._original, wrapper, enabled=lambda: self._active)
        setattr(owner, name, self._wrapped)

    def restore(self) -> None:
        """Put back what was there, to the letter."""
        self._active = False
        if vars(self._owner).get(self._name) is not self._wrapped:
            return
        if self._inherited:
            delattr(self._owner, self._name)
        else:
            setattr(self._owner, self._name, self._original)


class Interception:
    """A descriptor in a class, before what its instances keep under that name; until `restore`."""

    def __init__(self, owner: type, name: str, descriptor: object) -> None:
        self._owner, self._name, self._descriptor = owner, name, descriptor
        setattr(owner, name, descriptor)

    def restore(self) -> None:
        """Take it away, if it is still there."""
        if vars(self._owner).get(self._name) is self._descriptor:
            delattr(self._owner, self._name)


def wrap(seams: Mapping[Seam, Wrapper]) -> list[Patch]:
    """Wrap each of the seams; of one that is missing say in a warning what is off."""
    patches = []
    for seam, wrapper in seams.items():
        if not seam.expected:
            continue
        place = seam.locate()
        if place is None:
            _missing(seam)
        else:
            patches.append(Patch(*place, wrapper))
    return patches


class Wrapping:
    """What one instrumentor wraps, now or when a module is imported, and gives back."""

    def __init__(self) -> None:
        self._patches: list[Patch | Interception] = []
        self._open = True

    def wrap(self, seams: Mapping[Seam, Wrapper]) -> None:
        """Wrap each of the seams; of one that is missing say in a warning what is off."""
        self._patches += wrap(seams)

    def once_imported(self, module: str, then: Callable[[], object]) -> None:
        """Call `then` as soon as the program has imported `module`, which costs some a second."""

        def imported(_module: object) -> None:
            with harmless(f"{module} is imported"):
                if self._open:
                    then()

        wrapt.register_post_import_hook(imported, module)

    def intercept(self, seam: Seam, descriptor: Callable[[], object]) -> None:
        """Have a class hand out what its instances keep under a name through a descriptor."""
        place = seam.locate(instances=True)
        if place is None:
            _missing(seam)
        else:
            self._patches.append(Interception(*place, descriptor()))

    def restore(self) -> None:
        """Put back what was there, to the letter."""
        self._open = False
        while self._patches:
            self._patches.pop().restore()


def _missing(seam: Seam) -> None:
    where = f"{seam.module}.{seam.attribute}"
    _log.warning("%s: off, as %s has no %s", seam.gives, _version(seam.distribution), where)


def _version(distribution: str | None) -> str:
    if distribution is None:
        return "this Python"
    try:
        return f"{distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        return f"this {distribution}"
