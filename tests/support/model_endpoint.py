"""A scripted model on loopback: Anthropic Messages, OpenAI Responses and Chat Completions, and
Gemini's generateContent, streamed or, where somebody asks for that, in one piece.

A script maps a marker to the model's turns. The marker is looked for in the first thing the
user said; how many of the model's turns with tool calls the conversation already holds says
which turn is next. A turn is a dict: ``text``, ``tools`` ([name, arguments] pairs), ``error``
(an HTTP status, for the first ``times`` requests), or ``hang`` ("headers": never answers;
"text": stops in the middle of its answer). With ``pace`` (seconds) Anthropic's text is streamed
word by word for that long.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Turn = dict[str, Any]
Script = dict[str, list[Turn]]
FOREVER = 3600.0


class ModelEndpoint(ThreadingHTTPServer):
    """Serves one script; `requests` counts by marker."""

    daemon_threads = True

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.script = script
        self.requests: Counter[str] = Counter()
        self._ids = iter(range(1, 1 << 30))
        self.closing = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._ids):06d}"

    def turn(self, conversation: list[tuple[str, str]], calls: int) -> Turn:
        """The next turn of a conversation ((role, text) pairs) after so many turns with calls."""
        said = next((text for role, text in conversation if role == "user" and text), "")
        marker = next((m for m in self.script if re.search(rf"\b{m}\b", said)), None)
        if marker is None:
            return {"text": "ok"}
        self.requests[marker] += 1
        turns = self.script[marker]
        turn = turns[min(calls, len(turns) - 1)]
        if "error" in turn and self.requests[marker] > turn.get("times", 1):
            return turns[min(calls + 1, len(turns) - 1)]
        return turn

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self.shutdown()
        self.server_close()


def flat(content: Any) -> str:
    """All the text in a message's content."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(filter(None, map(flat, content)))
    return str(content.get("text", "")) if isinstance(content, dict) else ""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: ModelEndpoint

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._json(200, {"object": "list", "data": [{"id": "fake-model", "object": "model"}]})

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        path = self.path.split("?")[0]
        if path.endswith("/count_tokens"):
            self._json(200, {"input_tokens": 100})
        elif path.endswith("/messages"):
            self._answer(self._anthropic_turn(body), body, _anthropic)
        elif path.endswith("/responses"):
            self._answer(self._responses_turn(body), body, _responses)
        elif path.endswith("/chat/completions"):
            self._answer(self._chat_turn(body), body, _chat if body.get("stream") else _chat_whole)
        elif path.endswith((":streamGenerateContent", ":generateContent")):
            whole = path.endswith(":generateContent")
            self._answer(self._gemini_turn(body), body, _gemini_whole if whole else _gemini)
        else:
            self._json(404, {"error": {"message": f"no such path: {path}"}})

    def _anthropic_turn(self, body: dict[str, Any]) -> Turn:
        messages = body.get("messages", [])
        calls = sum(
            any(isinstance(b, dict) and b.get("type") == "tool_use" for b in message["content"])
            for message in messages
            if message["role"] == "assistant" and isinstance(message["content"], list)
        )
        if not body.get("tools"):
            return {"text": "ok"}  # titles and summaries are asked for without tools
        return self.server.turn([(m["role"], flat(m["content"])) for m in messages], calls)

    def _responses_turn(self, body: dict[str, Any]) -> Turn:
        items = body.get("input", [])
        calls = sum(item.get("type") == "function_call" for item in items)
        # Codex puts instructions and the environment before what the user said.
        users = [flat(i.get("content")) for i in items if i.get("role") == "user"]
        turn = self.server.turn([("user", "\n".join(users))], calls)
        # A thread that was spawned has an id that no script can know.
        threads = re.findall(r"agent_id\W+([0-9a-f-]{36})", json.dumps(items)) or ["none"]
        named: Turn = json.loads(json.dumps(turn).replace("$AGENT_ID", threads[-1]))
        return named

    def _chat_turn(self, body: dict[str, Any]) -> Turn:
        messages = body.get("messages", [])
        calls = sum(bool(message.get("tool_calls")) for message in messages)
        if not body.get("tools"):
            return {"text": "ok"}
        users = [flat(m.get("content")) for m in messages if m["role"] == "user"]
        return self.server.turn([("user", "\n".join(users))], calls)

    def _gemini_turn(self, body: dict[str, Any]) -> Turn:
        contents = body.get("contents", [])
        calls = sum(
            any("functionCall" in part for part in content["parts"])
            for content in contents
            if content.get("role") == "model"
        )
        if not body.get("tools"):
            return {"text": "ok"}
        users = [flat(c["parts"]) for c in contents if c.get("role") == "user"]
        return self.server.turn([("user", "\n".join(users))], calls)

    def _answer(self, turn: Turn, body: dict[str, Any], stream: Any) -> None:
        if "error" in turn:
            error = {"type": "error", "error": {"type": "api_error", "message": "scripted"}}
            self._json(turn["error"], error)
            return
        if turn.get("hang") == "headers":
            self.server.closing.wait(FOREVER)
            return
        events = list(stream(self.server, turn, str(body.get("model", "fake-model"))))
        if stream in (_chat_whole, _gemini_whole):
            self._json(200, events[0])
            return
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        if turn.get("hang") == "text":
            events = events[: len(events) // 2]
        for event in _paced(events, turn):
            name = f"event: {event['type']}\n" if "type" in event else ""
            self.wfile.write(f"{name}data: {json.dumps(event)}\n\n".encode())
            self.wfile.flush()
        if turn.get("hang") == "text":
            self.server.closing.wait(FOREVER)
        self.close_connection = True

    def _json(self, status: int, value: Any) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def _paced(events: list[dict[str, Any]], turn: Turn) -> Iterator[dict[str, Any]]:
    """Yield the events, a text in so many pieces and for so long as the turn's pace asks for."""
    for event in events:
        words = str(event.get("delta", {}).get("text", "")).split() if "pace" in turn else []
        for word in words:
            time.sleep(turn["pace"] / len(words))
            yield {**event, "delta": {**event["delta"], "text": f"{word} "}}
        if not words:
            yield event


def _anthropic(server: ModelEndpoint, turn: Turn, model: str) -> Iterator[dict[str, Any]]:
    """https://docs.anthropic.com/en/docs/build-with-claude/streaming."""
    usage = {"input_tokens": 1000, "cache_read_input_tokens": 200, "output_tokens": 1}
    message: dict[str, Any] = {
        "id": server.new_id("msg"),
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "usage": usage,
    }
    yield {"type": "message_start", "message": message}
    tools = turn.get("tools", [])
    blocks: list[tuple[dict[str, Any], dict[str, Any]]] = []
    if turn.get("text"):
        delta = {"type": "text_delta", "text": turn["text"]}
        blocks.append(({"type": "text", "text": ""}, delta))
    for name, arguments in tools:
        block = {"type": "tool_use", "id": server.new_id("toolu"), "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments)}
        blocks.append((block, delta))
    for index, (block, delta) in enumerate(blocks):
        yield {"type": "content_block_start", "index": index, "content_block": block}
        yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
    reason = "tool_use" if tools else "end_turn"
    stop = {"stop_reason": reason, "stop_sequence": None}
    yield {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 20}}
    yield {"type": "message_stop"}


def _responses(server: ModelEndpoint, turn: Turn, model: str) -> Iterator[dict[str, Any]]:
    """https://platform.openai.com/docs/api-reference/responses-streaming."""
    response = {"id": server.new_id("resp"), "object": "response", "model": model, "output": []}
    yield {"type": "response.created", "response": {**response, "status": "in_progress"}}
    output: list[dict[str, Any]] = []
    if turn.get("text"):
        content = [{"type": "output_text", "text": turn["text"], "annotations": []}]
        message = {"type": "message", "role": "assistant", "content": content}
        output.append({**message, "id": server.new_id("msg"), "status": "completed"})
    for name, arguments in turn.get("tools", []):
        namespace, _, function = name.rpartition("::")
        call = {"type": "function_call", "name": function, "arguments": json.dumps(arguments)}
        if namespace:
            call["namespace"] = namespace
        output.append({**call, "id": server.new_id("fc"), "call_id": server.new_id("call")})
    for index, item in enumerate(output):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    usage = {
        "input_tokens": 1000,
        "input_tokens_details": {"cached_tokens": 200},
        "output_tokens": 20,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 1020,
    }
    done = {**response, "status": "completed", "output": output, "usage": usage}
    yield {"type": "response.completed", "response": done}


def _chat(server: ModelEndpoint, turn: Turn, model: str) -> Iterator[dict[str, Any]]:
    """https://platform.openai.com/docs/api-reference/chat-streaming."""
    chunk = {"id": server.new_id("chatcmpl"), "object": "chat.completion.chunk", "created": 1}
    chunk["model"] = model

    def piece(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**chunk, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    calls = _chat_calls(server, turn)
    yield piece({"role": "assistant", "content": ""})
    if turn.get("text"):
        yield piece({"content": turn["text"]})
    for index, call in enumerate(calls):
        yield piece({"tool_calls": [{"index": index, **call}]})
    yield piece({}, "tool_calls" if calls else "stop")
    yield {**chunk, "choices": [], "usage": _CHAT_USAGE}


def _chat_whole(server: ModelEndpoint, turn: Turn, model: str) -> Iterator[dict[str, Any]]:
    calls = _chat_calls(server, turn)
    message: dict[str, Any] = {"role": "assistant", "content": turn.get("text", "")}
    if calls:
        message["tool_calls"] = calls
    reason = "tool_calls" if calls else "stop"
    choice = {"index": 0, "message": message, "finish_reason": reason}
    answer = {"id": server.new_id("chatcmpl"), "object": "chat.completion", "created": 1}
    yield {**answer, "model": model, "choices": [choice], "usage": _CHAT_USAGE}


def _chat_calls(server: ModelEndpoint, turn: Turn) -> list[dict[str, Any]]:
    return [
        {
            "id": server.new_id("call"),
            "type": "function",
            "function": {"name": name, "arguments": json.dumps(arguments)},
        }
        for name, arguments in turn.get("tools", [])
    ]


_CHAT_USAGE = {
    "prompt_tokens": 1000,
    "completion_tokens": 20,
    "total_tokens": 1020,
    "prompt_tokens_details": {"cached_tokens": 200},
}


def _gemini(server: ModelEndpoint, turn: Turn, model: str) -> Iterator[dict[str, Any]]:
    """https://ai.google.dev/api/generate-content; the first piece is what a silent one gave."""
    if turn.get("hang") == "text":
        begun = {"role": "model", "parts": [{"text": turn.get("text", "Let me")}]}
        yield {"candidates": [{"content": begun, "index": 0}]}
    yield from _gemini_whole(server, turn, model)


def _gemini_whole(server: ModelEndpoint, turn: Turn, model: str) -> Iterator[dict[str, Any]]:
    parts: list[dict[str, Any]] = [{"text": turn["text"]}] if turn.get("text") else []
    for name, arguments in turn.get("tools", []):
        call = {"name": name, "args": arguments, "id": server.new_id("fc")}
        parts.append({"functionCall": call})
    content = {"role": "model", "parts": parts or [{"text": "ok"}]}
    tokens = {"promptTokenCount": 1000, "candidatesTokenCount": 20, "totalTokenCount": 1020}
    yield {
        "candidates": [{"content": content, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {**tokens, "cachedContentTokenCount": 200},
        "modelVersion": model,
    }
