"""A place where programs start processes, which several instrumentors may watch."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from otel_untether.instrumentors.seams import Wrapping

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_untether.instrumentors.guest import Guest

    Special = Callable[[Sequence[str]], bool]


class Spawns:
    """Who watches the agents that are started there: one of its guests for each.

    Whoever knows the program is asked before those who take whatever comes.
    """

    def __init__(self) -> None:
        self._guests: dict[Any, Guest] = {}
        self._specials: dict[Any, Special] = {}
        self._wrapping = Wrapping()

    def join(self, who: Any, guest: Guest, *, special: Special | None = None) -> None:
        """Have agents watched as `guest` says, on behalf of `who`.

        :param who: the instrumentor.
        :param guest: its settings and providers.
        :param special: tells by a command line whether what is started now is of the program
            that `who` knows; None where it takes whatever comes.
        """
        self._guests[who] = guest
        if special is not None:
            self._specials[who] = special
        if len(self._guests) == 1:
            self._wrapping = Wrapping()
            self._wrap(self._wrapping)

    def leave(self, who: Any) -> None:
        """Watch no more agents for `who`; those that run are watched to their end."""
        self._guests.pop(who, None)
        self._specials.pop(who, None)
        if not self._guests:
            self._wrapping.restore()

    def guest(self, argv: Sequence[str]) -> Guest | None:
        """Return for whom an agent is watched that is started now, None where for nobody."""
        known = [who for who, special in self._specials.items() if special(argv)]
        anybody = [who for who in self._guests if who not in self._specials]
        who = next(iter(known or anybody), None)
        return None if who is None else self._guests[who]

    @abstractmethod
    def _wrap(self, wrapping: Wrapping) -> None:
        """Wrap what starts processes."""
