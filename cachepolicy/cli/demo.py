"""``python -m cachepolicy demo``: real questions through a cached function, twice, and from two processes.

The first function is all that a user of the library writes. The rest asks it, and shows what came of it.
"""

from __future__ import annotations

import asyncio
import json
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Sequence
from functools import cache

from openai import AsyncOpenAI, OpenAIError
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from rich.console import Console

from cachepolicy import aclose, configure, llm_cached, observe
from cachepolicy.cli.demo_policy import fresh_policy, redis_of
from cachepolicy.cli.demo_process import Job, do_elsewhere, give_up, report
from cachepolicy.cli.demo_progress import progress
from cachepolicy.cli.demo_provider import Provider, find_provider, why
from cachepolicy.cli.demo_questions import QUESTIONS, SYSTEM_MESSAGE
from cachepolicy.cli.demo_report import Row
from cachepolicy.cli.demo_show import Findings, as_json, show
from cachepolicy.cli.demo_trace import TRACER, Span, flatten, record_spans, traced_http_client
from cachepolicy.errors import CachePolicyError, StoreError


@llm_cached
async def answer(
    messages: list[ChatCompletionMessageParam], model: str, *, temperature: float = 0.0
) -> ChatCompletion:
    """Ask the model, or give the answer it gave before: for how long, and to whom, policies.yaml says."""
    return await client().chat.completions.create(model=model, messages=messages, temperature=temperature)


@cache
def client() -> AsyncOpenAI:
    """Make the SDK's client at first use; it reads OPENAI_API_KEY and OPENAI_BASE_URL."""
    return AsyncOpenAI(http_client=traced_http_client())


def main(argv: Sequence[str]) -> int:
    """Run the demo; or, when the demo starts itself with ``--worker``, one process of it."""
    arguments = _parse(argv)
    if arguments.worker:
        return asyncio.run(work(Job(**json.loads(arguments.worker))))
    console = Console(highlight=False, quiet=arguments.json)
    with find_provider(arguments.think) as provider:
        found = conduct(arguments.questions, provider, console)
    if arguments.json:
        print(as_json(found))
    else:
        show(found, console)
    return 0


def conduct(questions: int, provider: Provider, console: Console) -> Findings:
    """Let one process ask everything twice, then another ask it once, and show that they are at work."""
    policy = fresh_policy()
    redis = redis_of(policy)
    shared = redis != "memory://"
    hint = "" if shared else " (set REDIS_URL to share one between processes)"
    console.print(f"Model: {provider.name}\nRedis: {redis}{hint}\n")
    # A model is asked everything at once, to save time; Redis one by one, to show what each answer takes.
    jobs = [
        Job(process=1, passes=2, questions=questions, at_once=True, model=provider.model, policy=policy),
        Job(
            process=2, passes=1, questions=questions, at_once=not shared, model=provider.model, policy=policy
        ),
    ]
    rows: list[Row] = []
    spans: list[Span] = []
    with progress(console, jobs) as answered:
        for job in jobs:
            for item in do_elsewhere(job, provider.environment):
                if isinstance(item, Row):
                    rows.append(item)
                    answered(item.process, item.turn)
                else:
                    spans.append(item)
    rows.sort(key=lambda row: (row.process, row.turn, row.number))
    return Findings(provider.model, redis, rows, spans)


async def work(job: Job) -> int:
    """Do one process's share: ask every question once per pass, and report each answer and each span."""
    memory = record_spans()
    configure(job.policy)
    try:
        async with client():
            await answer.invalidate([], job.model)  # proves that Redis answers, before a question is paid for
            for turn in range(1, job.passes + 1):
                asked = enumerate(QUESTIONS[: job.questions], 1)
                if job.at_once:
                    await asyncio.gather(*(ask(job, turn, *each) for each in asked))
                else:
                    for each in asked:
                        await ask(job, turn, *each)
    except OpenAIError as error:
        return give_up(why(error, job.model))
    except StoreError as error:
        return give_up(f"{redis_of(job.policy)} cannot be used: {error} (unset REDIS_URL to run without)")
    except CachePolicyError as error:
        return give_up(str(error))
    finally:
        await aclose()
    for span in memory.get_finished_spans():
        report(flatten(span))
    return 0


async def ask(job: Job, turn: int, number: int, question: str) -> None:
    """Ask one question as a request handler would, and report how it was answered."""
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": SYSTEM_MESSAGE},
        {"role": "user", "content": question},
    ]
    with observe() as seen, TRACER.start_as_current_span("ask", attributes={"demo.question": number}):
        completion = await answer(messages, job.model)
    call, usage = seen[0], completion.usage
    report(
        Row(
            process=job.process,
            turn=turn,
            number=number,
            question=question,
            outcome=call.outcome,
            tier=call.tier,
            seconds=call.duration,
            model=completion.model,
            prompt_tokens=usage.prompt_tokens if usage else 0,
            completion_tokens=usage.completion_tokens if usage else 0,
        )
    )


def _parse(argv: Sequence[str]) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(
        prog="cachepolicy demo",
        description="Ask a model the same questions twice and from two processes, and see what it saves. "
        "OPENAI_API_KEY, OPENAI_BASE_URL and OPENAI_MODEL choose a real model; REDIS_URL a shared Redis.",
    )
    most = len(QUESTIONS)
    parser.add_argument(
        "--questions",
        type=int,
        default=most,
        choices=range(1, most + 1),
        metavar="N",
        help=f"how many questions to ask (default: all {most})",
    )
    parser.add_argument(
        "--think",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="how long the local server thinks about each (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print rows, totals and spans as JSON")
    parser.add_argument("--worker", help=SUPPRESS)
    return parser.parse_args(argv)
