"""A program's own code that its agent waits for: hooks, permission callbacks, tools in-process.

The session has a span for each already, of the question and of its answer. What the program does
meanwhile, and whatever its other instrumentations make of that, belongs under it::

    execute_tool Bash                 the agent's
      untether.wait host              it asks for the program's hook
        POST /audit                   what the hook does
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from opentelemetry import context, trace

from otel_untether import semconv
from otel_untether.engines.parsing.names import name as fit
from otel_untether.engines.parsing.values import word
from otel_untether.instrumentors.harmless import harmless

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from opentelemetry.trace import Span

    from otel_untether.instrumentors.agent import HostedAgent
    from otel_untether.session.activity import Activity


@contextmanager
def answering(agent: HostedAgent | None, about: str | None, call: str | None) -> Iterator[None]:
    """Run what answers a question of the agent under the span of that wait.

    :param agent: who asks, None where it is not watched.
    :param about: what it asks: a hook's event, a tool's name, a method.
    :param call: the tool call that it is about, None where it is about none.
    """
    with _under(agent, lambda agent: _wait(agent, word(about), call)):
        yield


@contextmanager
def executing(agent: HostedAgent | None, tool: str, *, below: bool = False) -> Iterator[None]:
    """Run a tool that the program itself provides under the span of its call.

    :param agent: who calls it, None where it is not watched.
    :param tool: its name, as the program has it.
    :param below: whether it runs below that span already.
    """
    with _under(agent, lambda agent: _call(agent, tool), below=below):
        yield


@contextmanager
def _under(
    agent: HostedAgent | None,
    find: Callable[[HostedAgent], Activity | None],
    *,
    below: bool = False,
) -> Iterator[None]:
    span, token = None, None
    with harmless("a callback begins"):
        span = None if agent is None else _span(agent, find)
        if span is not None and not below:
            token = context.attach(trace.set_span_in_context(span))
    try:
        yield
    except Exception as error:
        with harmless("a callback fails"):
            if span is not None:
                _failed(span, error)
        raise
    finally:
        if token is not None:
            with harmless("a callback ends"):
                context.detach(token)


def _span(agent: HostedAgent, find: Callable[[HostedAgent], Activity | None]) -> Span | None:
    with agent.session.locked():
        activity = find(agent)
        if activity is None:
            return None
        agent.answers.add(activity.key)
        return agent.session.tracer.span_of(activity)


def _failed(span: Span, error: Exception) -> None:
    """Tell of what kind an error is that an SDK hands on as words; those may be anything."""
    kind = fit(type(error).__qualname__)
    span.add_event(semconv.EVENT_EXCEPTION, {semconv.EXCEPTION_TYPE: kind})


def _wait(agent: HostedAgent, about: str | None, call: str | None) -> Activity | None:
    """Return the first wait of that kind that nobody answers yet: questions come in order."""
    state = agent.session.state
    agent.answers &= state.wait_activities.keys() | state.open.keys()
    for key, activity in state.wait_activities.items():
        wait = state.waits.get(key)
        if wait is None or key in agent.answers or wait.detail != about:
            continue
        if call is None or wait.tool_id in (call, None):
            return activity
    return None


def _call(agent: HostedAgent, tool: str) -> Activity | None:
    """Return the first call of that tool that nobody executes yet."""
    for key, call in agent.session.state.open.items():
        if key not in agent.answers and call.name in (tool, f"mcp__{call.mcp_server}__{tool}"):
            # The client executes it, which is what the conventions call a function.
            call.attributes[semconv.TOOL_TYPE] = "function"
            return call
    return None
