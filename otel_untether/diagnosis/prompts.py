"""Between two prompts: silence is right, until there is a prompt that nobody answers.

A process that serves several prompts says nothing while it waits for the next one. Whether it
was given one shows in its input: bytes that it does not take; or in its threads: none of them
waits for input any more, so that it has something else to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from otel_untether.diagnosis import wait_channels as wchan
from otel_untether.diagnosis.facts import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_untether.config.settings import WatchdogConfig
    from otel_untether.proc_diag.deep_look import ProcessLook

# Where a thread may wait for input: alone for it, or for many things at once.
_POLLS: Final = ("do_epoll", "ep_poll", "do_sys_poll", "do_poll", "poll_sched", "do_select",
                 "do_pselect", "core_sys_select")  # fmt: skip


class Prompts:
    """When the prompt came that a session has not answered; `since` is None while there is none.

    A look costs part of a millisecond, hence fewer of them the longer nothing comes.
    """

    def __init__(self, config: WatchdogConfig) -> None:
        self._config = config
        self._looked: int | None = None
        self.since: int | None = None

    def over(self) -> None:
        """The session spoke, or is not between two prompts."""
        self._looked = self.since = None

    def watch(self, result_at: int, now: int, look: Callable[[], ProcessLook | None]) -> bool:
        """Look whether there is a prompt; times in ns. Returns whether one waits for an answer.

        `look` looks at the agent's own process.
        """
        if self._looked is not None and now - self._looked < self._pace(result_at, now) * SECOND:
            return self.since is not None
        self._looked = now
        agent = look()
        if agent is None or not has_one(agent):
            self.since = None
        elif self.since is None:
            self.since = now
        return self.since is not None

    def _pace(self, result_at: int, now: int) -> float:
        """Return the seconds between two looks: half the wait, within bounds."""
        longest = self._config.stall_timeout / 10
        passed = (now - result_at) / SECOND / 2
        return max(self._config.sample_interval, min(longest, passed))


def has_one(agent: ProcessLook) -> bool:
    """Whether the agent was given a prompt; what is not known is no sign of one."""
    if agent.stdin.unread:
        return True
    if agent.stdin.kind not in ("pipe", "socket") or not agent.threads or not agent.all_threads:
        return False
    threads = agent.threads
    if not all(thread.placed for thread in threads):
        return False
    return not any(_waits_for_input(t.wchan or "", wchan.place(t)) for t in threads)


def _waits_for_input(channel: str, where: str) -> bool:
    return channel.startswith(_POLLS) or where in ("pipe_read", "socket", "unknown", "stopped")
