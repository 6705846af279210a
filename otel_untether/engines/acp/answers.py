"""What the answers of an ACP agent say: why a turn stopped, which model, how many tokens."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from otel_untether.engines.acp.shapes import (
    ConfigOption,
    Message,
    Models,
    Quota,
    QuotaTokens,
    Result,
    ResultMeta,
    Tokens,
)
from otel_untether.engines.parsing.reasons import reason
from otel_untether.engines.parsing.salvage import BROKEN, given
from otel_untether.engines.parsing.values import word
from otel_untether.session.events import Usage

_RUNTIME_MODEL: Final = re.compile(r"\$runtime\|[^|]*\|(.+?)(?:\([^()]*\))?")  # as Qwen Code has it


def error_of(message: Message, result: Result) -> str | None:
    """Return why a turn went wrong, None where it went well."""
    if message.error is not None:
        return reason(message.error.message)
    if result.stop_reason == "cancelled":
        return "interrupted"
    return None if result.stop_reason == "end_turn" else word(result.stop_reason) or "error"


def model_of(result: Result) -> str | None:
    """Return the model of a session that was opened, as far as the answer tells."""
    chosen = [option for option in result.config_options or () if option.id == "model"]
    told = (result.models or Models()).current_model_id
    return plain(told or next(filter(None, map(_value, chosen)), None))


def plain(model: str | None) -> str | None:
    """Return a model's name without what Qwen Code puts around it."""
    match = _RUNTIME_MODEL.fullmatch(model or "")
    return match[1] if match else model


def _value(option: ConfigOption) -> str | None:
    try:
        return _text_decoder.decode(given(option.current_value) or b"null")
    except BROKEN:
        return None


def usage_of(result: Result) -> Usage | None:
    """Return what an answer to a prompt says that it took."""
    tokens = result.usage
    if tokens is None:
        quota = ((result.meta or ResultMeta()).quota or Quota()).token_count or QuotaTokens()
        known = quota.input_tokens is not None or quota.output_tokens is not None
        return Usage(input=quota.input_tokens, output=quota.output_tokens) if known else None
    return tokens_of(tokens)


def tokens_of(tokens: Tokens) -> Usage:
    """Return a count of tokens as ours."""
    return Usage(
        input=_input(tokens),
        output=tokens.output_tokens,
        cache_read=tokens.cached_read_tokens,
        cache_write=tokens.cached_write_tokens,
        reasoning=tokens.thought_tokens,
    )


def _input(tokens: Tokens) -> int | None:
    """Count cached tokens as input, once; the total tells whether they are part of it already."""
    fresh = tokens.input_tokens
    cached = (tokens.cached_read_tokens or 0) + (tokens.cached_write_tokens or 0)
    if fresh is None or tokens.total_tokens == fresh + (tokens.output_tokens or 0):
        return fresh
    return fresh + cached


_text_decoder: Final[msgspec.json.Decoder[str | None]] = msgspec.json.Decoder(str | None)
