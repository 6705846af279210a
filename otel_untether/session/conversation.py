"""Whose turn it is: the main agent and each subagent take turns with a model of their own.

A lane is one such conversation. A `chat` activity begins when the model's turn begins (the
prompt, the last tool result) and ends with the last line of its message; nothing on a CLI's
stdout says "complete", so it is closed when something shows that the message is over.
"""

from __future__ import annotations

import msgspec

from otel_untether.session.activity import Activity, Change, Opened, begin, close
from otel_untether.session.events import ModelMessage, Usage

# What begins within so many ns of a call's end was called in the same answer: CLIs that run the
# calls of one answer one after another name each when its turn comes, and no model is as quick.
_SAME_ANSWER = 20 * 10**6

# Message ids are remembered so that a late line never makes a second span of one message.
_REMEMBERED_MESSAGES = 256


class Lane:
    """One agent's conversation with its model; `owner` is what its activities belong under.

    `asked_at` is since when the model owes an answer, None while it does not; `spoken` whether
    it has given any; `progress` when this conversation last moved on, whatever others in the
    session did; `returned_at` when its last call was over. Times in ns since the epoch.
    """

    __slots__ = ("_done", "asked_at", "chat", "owner", "progress", "returned_at", "spoken")

    def __init__(self, owner: Activity) -> None:
        self.owner = owner
        self.progress = owner.start
        self.asked_at: int | None = None
        self.returned_at: int | None = None
        self.chat: Activity | None = None
        self.spoken = False
        self._done: dict[str, Usage | None] = {}

    def ask(self, at: int) -> None:
        """The model's turn begins, unless it already has.

        Until it first speaks, each sign that the session begins moves that beginning: a CLI
        loads for a while before it asks.
        """
        if self.asked_at is None or not self.spoken:
            self.asked_at = at

    def returned(self, at: int) -> None:
        """No call of it is open any more: the model's turn begins."""
        self.returned_at = at
        self.ask(at)

    def call(self, at: int, model: str | None, *, late: bool = False) -> list[Change]:
        """The model called a tool; where no message announced it, the call is the answer.

        A call named only once it is over, or by a CLI that tells of every message (`late`), is
        part of the message that is being spoken, whatever other call of it was over before: the
        model's turn has not come yet.
        """
        if late and self.chat is not None and self.chat.key:
            self.asked_at = None
            return []
        if self.asked_at is not None and self._goes_on(at):
            self.asked_at = None
            return []
        if self.asked_at is not None:
            answer = ModelMessage(at=at)
            return [*self.speak(answer, at, model), *self.settle()]
        if self.chat is not None and not self.chat.key:
            return self.settle()
        return []

    def _goes_on(self, at: int) -> bool:
        """Whether the call before, just over, and this one were made in one answer."""
        since = self.returned_at
        return since is not None and self.asked_at == since and at - since < _SAME_ANSWER

    def speak(self, message: ModelMessage, at: int, model: str | None) -> list[Change]:
        """Take a message, or one more line of it."""
        key = message.id or ""
        if key and key in self._done:
            return []
        chat = self.chat
        if message.late and chat is not None and chat.key == key:
            _complete(chat, message)
            return []
        if chat is not None and message.error and not key and self.asked_at is None:
            chat.error = message.error
            _continue(chat, message, at)
            return self.settle()
        if chat is not None and not chat.key and self.asked_at is None and chat.end is None:
            chat.key = key  # its first pieces, thoughts of it, had no id
        if chat is not None and chat.key == key and (key or self.asked_at is None):
            self.asked_at = None
            _continue(chat, message, at)
            return []
        changes = self.settle()
        opened = self._open(message, at, model)
        changes.append(Opened(opened))
        if message.error:
            opened.error = message.error
            changes += self.settle()
        return changes

    def _open(self, message: ModelMessage, at: int, model: str | None) -> Activity:
        named = model if message.error else message.model or model
        start = at if self.asked_at is None else min(self.asked_at, at)
        chat = begin("chat", message.id or "", named or "", start, self.owner)
        self.asked_at = None
        self.spoken = True
        self.chat = chat
        _continue(chat, message, at)
        return chat

    def settle(self) -> list[Change]:
        """Close the message that was being spoken, at its last line."""
        chat, self.chat = self.chat, None
        if chat is None:
            return []
        if chat.key:
            self._remember(chat)
        return close(chat, chat.last_sign) if chat.end is None else []

    def _remember(self, chat: Activity) -> None:
        self._done[chat.key] = chat.usage
        if len(self._done) > _REMEMBERED_MESSAGES:
            del self._done[next(iter(self._done))]

    def lacks(self, message: str, usage: Usage) -> bool:
        """Whether a message was spoken here, and `usage` says more than is known of what it took.

        :param message: its id.
        :param usage: what it took, as somebody else tells.
        """
        chat = self.chat
        if chat is not None and chat.key == message:
            return _newer(chat.usage, usage) != chat.usage
        known = message in self._done
        return known and _newer(self._done[message], usage) != self._done[message]

    def learn(self, message: str, usage: Usage) -> Usage:
        """Take what a message took; return what of it is to be added for one that is over.

        :param message: its id.
        :param usage: what it took, as somebody else tells.
        """
        chat = self.chat
        if chat is not None and chat.key == message:
            before, chat.usage = chat.usage or Usage(), _newer(chat.usage, usage)
            return Usage() if chat.end is None else _added(before, chat.usage)
        if message in self._done:
            before = self._done[message] or Usage()
            self._done[message] = after = _newer(before, usage)
            return _added(before, after)
        return Usage()

    def unanswered(self, model: str | None) -> Activity | None:
        """Return a chat for the answer that is still owed, or None when none is."""
        if self.asked_at is None:
            return None
        chat = begin("chat", "", model or "", self.asked_at, self.owner)
        self.asked_at = None
        return chat


def _continue(chat: Activity, message: ModelMessage, at: int) -> None:
    chat.last_sign = max(chat.last_sign, at)
    _complete(chat, message)


def _complete(chat: Activity, message: ModelMessage) -> None:
    if message.usage is not None:
        chat.usage = _newer(chat.usage, message.usage)
    if message.finish_reason is not None:
        chat.finish_reason = message.finish_reason


def _newer(old: Usage | None, new: Usage) -> Usage:
    """Later lines of a message repeat its usage or complete it: they replace, never add."""
    if old is None or old == new:
        return new
    fields = Usage.__struct_fields__
    return Usage(*(_first(getattr(new, f), getattr(old, f)) for f in fields))


def _added(before: Usage, after: Usage) -> Usage:
    """Return what a later telling has beyond an earlier one; what did not change is not in it."""
    pairs = zip(msgspec.structs.astuple(before), msgspec.structs.astuple(after), strict=True)
    return Usage(*(None if new == old else (new or 0) - (old or 0) for old, new in pairs))


def _first(new: int | None, old: int | None) -> int | None:
    return old if new is None else new
