#!/usr/bin/env python3
"""The gateway between the official SDK and a real model: what a user's program would see.

    test_real.py PATH_OF_TOLLGATE [WORD ...]      all cases, or those whose sentence has a word

Texts are never compared, since a model may say anything: structure, token sums, money and
headers are. `gateway.yaml` beside this file says which models and routes there are.
"""

import argparse
import asyncio
import json
import math
import re
import shutil
import subprocess
import sys
import time
import unittest
from pathlib import Path

import openai
from openai import AsyncOpenAI, OpenAI

import report
from stack import BUDGET_KEY, CLIENT_KEY, HERE, LIMITED_KEY, NARROW_KEY, Stack, get

SMALL = "smollm2-135m"
SMALL_BACKEND = "local/SmolLM2-135M-Instruct"
NAMES = {SMALL, "dear", "broken-500", "broken-reset", "broken-alone", "broken-cut", "broken-end"}
NAMES |= {"auto", "after-500", "after-reset"}
NAMES |= {"vectors-135m", "embed", "moderate", "paint", "speak", "transcribe"}

# prices a token in whole 10^-12 dollars, worked out by hand from gateway.yaml
PICO = 10**12
SMALL_PRICE = (100_000, 1_000_000)
DEAR_PRICE = (30_000_000, 60_000_000)

# longer than any test waits: whoever sees this generation end has seen it cancelled
LONG = {"max_tokens": 1500, "extra_body": {"ignore_eos": True}}
FREED_SECONDS = 2.0

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"answer": {"type": "string"}},
            "required": ["answer"],
            "additionalProperties": False,
        },
    },
}

stack: Stack
options: argparse.Namespace


def setUpModule():
    global stack
    stack = Stack(options.tollgate)

    def stop():
        code = stack.stop()
        if code != 0:
            raise AssertionError(f"the gateway ended with {code} when asked to end")

    unittest.addModuleCleanup(stop)


def connect(kind=OpenAI, base: str = "/v1", key: str = CLIENT_KEY):
    """A client that never repeats a request, so that every answer is the first one."""
    return kind(base_url=stack.url + base, api_key=key, max_retries=0, timeout=120)


def asking(model: str = SMALL, text: str = "Say hello.", **more) -> dict:
    """A short request."""
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": 16,
    } | more


def pico(decimal: str) -> int:
    """A plain decimal number of dollars as whole 10^-12 dollars; refuses anything finer."""
    if not re.fullmatch(r"\d+(\.\d{1,12})?", decimal):
        raise AssertionError(f"{decimal!r} is not a plain decimal number")
    whole, _, fraction = decimal.partition(".")
    return int(whole) * PICO + int(fraction.ljust(12, "0"))


def cosine(one: list[float], other: list[float]) -> float:
    """How alike two vectors are: 1 for the same direction."""
    length = lambda vector: math.sqrt(sum(x * x for x in vector))
    return sum(x * y for x, y in zip(one, other, strict=True)) / (length(one) * length(other))


class Case(unittest.TestCase):
    """What several groups assert."""

    def assert_adds_up(self, usage, most: int = 16):
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertGreater(usage.prompt_tokens, 0)
        self.assertGreater(usage.completion_tokens, 0)
        self.assertLessEqual(usage.completion_tokens, most)

    def assert_costs(self, decimal: str, usage, price: tuple[int, int]):
        expected = usage.prompt_tokens * price[0] + usage.completion_tokens * price[1]
        self.assertEqual(pico(decimal), expected)

    def assert_error(self, error: openai.APIStatusError, status: int, kind: str, code: str):
        found = (error.status_code, error.type, error.code)
        self.assertEqual(found, (status, kind, code), error.message)
        self.assertTrue(error.request_id)


class Endpoints(Case):
    def test_a_completion_of_the_real_model_has_text_and_an_exact_cost(self):
        ask = {"model": SMALL, "prompt": "Once upon a time", "max_tokens": 8}
        raw = connect().completions.with_raw_response.create(**ask)
        answer = raw.parse()
        self.assertTrue(answer.choices[0].text)
        self.assert_adds_up(answer.usage, 8)
        self.assert_costs(raw.headers["x-tollgate-cost-usd"], answer.usage, SMALL_PRICE)

    def test_a_completion_of_the_real_model_streams_to_its_end(self):
        ask = {"model": SMALL, "prompt": "Once upon a time", "max_tokens": 8, "stream": True}
        options = {"include_usage": True}
        chunks = list(connect().completions.create(**ask, stream_options=options))
        self.assertTrue("".join(c.text for chunk in chunks for c in chunk.choices))
        self.assert_adds_up(chunks[-1].usage, 8)

    def test_embeddings_come_in_order_whatever_the_encoding(self):
        texts = ["one", "two", "three"]
        create = connect().embeddings.with_raw_response.create
        # the SDK asks for base64 unless told otherwise, and makes floats of it
        packed = create(model="embed", input=texts, dimensions=4)
        plain = create(model="embed", input=texts, dimensions=4, encoding_format="float")
        vectors = [v.embedding for v in packed.parse().data]
        for vector, same in zip(vectors, plain.parse().data, strict=True):
            for one, other in zip(vector, same.embedding, strict=True):
                # the one is a float of 32 bits as decimal text, the other in full
                self.assertAlmostEqual(one, other, places=6)
        self.assertEqual([v.index for v in packed.parse().data], [0, 1, 2])
        # two parts of 50 tokens
        self.assertEqual(packed.parse().usage.prompt_tokens, 100)
        self.assertEqual(pico(packed.headers["x-tollgate-cost-usd"]), 100 * 20_000)

    def test_embeddings_of_the_real_model_are_the_same_alone_and_in_a_batch(self):
        texts = ["a cat sleeps", "stocks fell on Tuesday", "a kitten naps"]
        create = connect().embeddings.with_raw_response.create
        # three texts are two calls: the backend takes two at once
        batch = create(model="vectors-135m", input=texts)
        vectors = [item.embedding for item in batch.parse().data]
        self.assertEqual([item.index for item in batch.parse().data], [0, 1, 2])
        tokens = 0
        for text, vector in zip(texts, vectors, strict=True):
            alone = create(model="vectors-135m", input=text, encoding_format="float").parse()
            tokens += alone.usage.prompt_tokens
            self.assertGreater(cosine(alone.data[0].embedding, vector), 0.999)
        self.assertEqual(batch.parse().usage.prompt_tokens, tokens)
        self.assertEqual(pico(batch.headers["x-tollgate-cost-usd"]), tokens * 20_000)
        self.assertEqual(batch.headers["x-tollgate-backend"], "vectors/SmolLM2-135M-Instruct")
        # who is about the same is nearer
        cat, stocks, kitten = vectors
        self.assertGreater(cosine(cat, kitten), cosine(cat, stocks))

    def test_embeddings_of_the_real_model_take_token_numbers(self):
        answer = connect().embeddings.create(model="vectors-135m", input=[[100, 200, 300]])
        self.assertEqual(len(answer.data), 1)
        self.assertGreater(answer.usage.prompt_tokens, 0)

    def test_a_moderation_is_free_where_it_is_stated_so(self):
        raw = connect().moderations.with_raw_response.create(model="moderate", input="hello")
        self.assertFalse(raw.parse().results[0].flagged)
        self.assertEqual(pico(raw.headers["x-tollgate-cost-usd"]), 0)

    def test_images_cost_the_tokens_that_they_report(self):
        raw = connect().images.with_raw_response.generate(model="paint", prompt="a cat", n=2)
        self.assertEqual(len(raw.parse().data), 2)
        cost = 10 * 5_000_000 + 2 * 272 * 40_000_000
        self.assertEqual(pico(raw.headers["x-tollgate-cost-usd"]), cost)

    def test_speech_arrives_as_bytes(self):
        speech = connect().audio.speech
        with speech.with_streaming_response.create(
            model="speak", voice="alloy", input="hello"
        ) as answer:
            self.assertEqual(answer.headers["content-type"], "audio/mpeg")
            self.assertEqual(len(answer.read()), 5 * 64)

    def test_a_file_is_transcribed_and_translated(self):
        file = ("a.mp3", bytes(40_000), "audio/mpeg")
        audio = connect().audio
        for create in (
            audio.transcriptions.with_raw_response.create,
            audio.translations.with_raw_response.create,
        ):
            raw = create(model="transcribe", file=file)
            self.assertTrue(raw.parse().text)
            # three seconds at 36 cents an hour
            self.assertEqual(pico(raw.headers["x-tollgate-cost-usd"]), 300_000_000)
        text = audio.transcriptions.create(model="transcribe", file=file, response_format="text")
        self.assertTrue(text)

    def test_a_model_serves_only_what_it_is_for(self):
        body = {"model": "embed", "query": "q", "documents": ["a"]}
        with self.assertRaises(openai.BadRequestError) as caught:
            connect().post("/rerank", cast_to=object, body=body)
        self.assert_error(
            caught.exception, 400, "invalid_request_error", "no_capable_backend"
        )


class Answers(Case):
    def test_a_chat_has_one_choice_and_tokens_that_add_up(self):
        answer = connect().chat.completions.create(**asking())
        self.assertEqual(answer.object, "chat.completion")
        self.assertEqual(len(answer.choices), 1)
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        self.assert_adds_up(answer.usage)

    def test_the_limit_of_output_reaches_the_model(self):
        answer = connect().chat.completions.create(
            **asking(max_tokens=5, extra_body={"ignore_eos": True})
        )
        self.assertEqual(answer.usage.completion_tokens, 5)
        self.assertEqual(answer.choices[0].finish_reason, "length")

    def test_the_address_works_without_v1_too(self):
        answer = connect(base="").chat.completions.create(**asking(max_tokens=4))
        self.assert_adds_up(answer.usage)

    def test_the_headers_say_who_served_and_why(self):
        raw = connect().chat.completions.with_raw_response.create(
            **asking(extra_headers={"x-client-request-id": "mine-1"})
        )
        self.assertEqual(raw.headers["x-tollgate-model"], SMALL)
        self.assertEqual(raw.headers["x-tollgate-backend"], SMALL_BACKEND)
        self.assertEqual(raw.headers["x-tollgate-attempts"], "1")
        self.assertTrue(raw.headers["x-tollgate-decision"])
        self.assertEqual(raw.headers["x-client-request-id"], "mine-1")
        self.assertGreaterEqual(int(raw.headers["openai-processing-ms"]), 0)

    def test_every_answer_has_its_own_request_id(self):
        answers = [connect().chat.completions.create(**asking(max_tokens=1)) for _ in range(3)]
        self.assertEqual(len({answer._request_id for answer in answers} - {None, ""}), 3)


class Streams(Case):
    def chunks(self, **more) -> list:
        return list(connect().chat.completions.create(**asking(stream=True, **more)))

    def test_a_stream_shows_no_usage_when_none_was_asked_for(self):
        chunks = self.chunks()
        self.assertGreater(len(chunks), 1)
        self.assertTrue(all(len(chunk.choices) == 1 for chunk in chunks))
        self.assertTrue(all(chunk.usage is None for chunk in chunks))
        self.assertIn(chunks[-1].choices[0].finish_reason, ("stop", "length"))

    def test_a_stream_ends_with_usage_and_its_cost_when_asked_for(self):
        *chunks, last = self.chunks(stream_options={"include_usage": True})
        self.assertTrue(all(len(c.choices) == 1 and c.usage is None for c in chunks))
        self.assertEqual(last.choices, [])
        self.assert_adds_up(last.usage)
        self.assert_costs(str(last.usage.cost_usd), last.usage, SMALL_PRICE)

    def test_a_stream_counts_the_tokens_that_the_whole_answer_counts(self):
        exact = {"max_tokens": 7, "extra_body": {"ignore_eos": True}}
        whole = connect().chat.completions.create(**asking(**exact)).usage
        streamed = self.chunks(stream_options={"include_usage": True}, **exact)[-1].usage
        self.assertEqual(streamed.prompt_tokens, whole.prompt_tokens)
        self.assertEqual(streamed.completion_tokens, whole.completion_tokens)

    def test_a_stream_tells_its_estimated_cost_ahead(self):
        raw = connect().chat.completions.with_raw_response.create(**asking(stream=True))
        self.assertGreater(pico(raw.headers["x-tollgate-estimated-cost-usd"]), 0)
        self.assertNotIn("x-tollgate-cost-usd", raw.headers)
        self.assertEqual(raw.headers["x-tollgate-backend"], SMALL_BACKEND)
        self.assertGreater(len(list(raw.parse())), 1)


class Money(Case):
    def test_the_cost_is_price_times_tokens_on_hardware_paid_by_the_hour(self):
        raw = connect().chat.completions.with_raw_response.create(**asking())
        self.assert_costs(raw.headers["x-tollgate-cost-usd"], raw.parse().usage, SMALL_PRICE)

    def test_the_cost_is_price_times_tokens_at_a_price_by_the_token(self):
        raw = connect().chat.completions.with_raw_response.create(**asking("dear"))
        self.assert_costs(raw.headers["x-tollgate-cost-usd"], raw.parse().usage, DEAR_PRICE)

    def test_the_metrics_count_what_the_client_was_told(self):
        names = ("tollgate_cost_usd_total", "tollgate_tokens_total")
        before = [stack.metric(name, backend=SMALL_BACKEND) for name in names]
        raw = connect().chat.completions.with_raw_response.create(**asking())
        usage, cost = raw.parse().usage, pico(raw.headers["x-tollgate-cost-usd"])
        # counted after the answer has gone out, so not at once
        deadline = time.monotonic() + 5
        while True:
            after = [stack.metric(name, backend=SMALL_BACKEND) for name in names]
            if after[1] - before[1] >= usage.total_tokens or time.monotonic() > deadline:
                break
            time.sleep(0.02)
        self.assertAlmostEqual((after[0] - before[0]) * PICO, cost, delta=1)
        self.assertEqual(after[1] - before[1], usage.total_tokens)


class Routing(Case):
    def served_by(self, model: str, **more):
        raw = connect().chat.completions.with_raw_response.create(**asking(model, **more))
        if not more.get("stream"):
            self.assert_adds_up(raw.parse().usage, most=10_000)
        else:
            self.assertGreater(len(list(raw.parse())), 1)
        return raw.headers

    def test_a_plain_request_goes_to_the_cheap_model(self):
        self.assertEqual(self.served_by("auto")["x-tollgate-model"], SMALL)

    def test_a_request_with_tools_goes_to_the_one_that_can(self):
        self.assertEqual(self.served_by("auto", tools=[TOOL])["x-tollgate-model"], "dear")

    def test_a_request_for_a_schema_goes_to_the_one_that_can(self):
        headers = self.served_by("auto", response_format=SCHEMA)
        self.assertEqual(headers["x-tollgate-model"], "dear")

    def test_a_long_prompt_goes_to_the_one_that_has_room(self):
        headers = self.served_by("auto", text="every word counts " * 1500)
        self.assertEqual(headers["x-tollgate-model"], "dear")

    def assert_falls_back(self, headers):
        self.assertEqual(headers["x-tollgate-model"], SMALL)
        self.assertEqual(headers["x-tollgate-backend"], SMALL_BACKEND)
        # the broken one, once more the broken one, the next
        self.assertEqual(headers["x-tollgate-attempts"], "3")

    def test_the_next_model_serves_when_the_first_answers_500(self):
        self.assert_falls_back(self.served_by("after-500"))

    def test_the_next_model_serves_when_the_first_hangs_up(self):
        self.assert_falls_back(self.served_by("after-reset"))

    def test_the_next_model_serves_a_stream_when_the_first_answers_500(self):
        self.assert_falls_back(self.served_by("after-500", stream=True))

    def test_the_next_model_serves_a_stream_when_the_first_hangs_up(self):
        self.assert_falls_back(self.served_by("after-reset", stream=True))


class Listing(Case):
    def test_every_name_is_listed_and_nothing_else(self):
        listed = [model.id for model in connect().models.list()]
        self.assertEqual(len(listed), len(set(listed)))
        self.assertEqual(set(listed), NAMES)

    def test_every_listed_name_can_be_retrieved(self):
        for model in connect().models.list():
            self.assertEqual(connect().models.retrieve(model.id).id, model.id)

    def test_a_key_sees_what_it_may_call_and_may_call_what_it_sees(self):
        client = connect(key=NARROW_KEY)
        self.assertEqual([model.id for model in client.models.list()], [SMALL])
        self.assert_adds_up(client.chat.completions.create(**asking()).usage)
        for name in sorted(NAMES - {SMALL}):
            with self.assertRaises(openai.PermissionDeniedError) as caught:
                client.chat.completions.create(**asking(name))
            self.assert_error(
                caught.exception, 403, "invalid_request_error", "model_not_allowed"
            )

    def test_an_unknown_name_can_not_be_retrieved(self):
        with self.assertRaises(openai.NotFoundError):
            connect().models.retrieve("no-such-model")


class Errors(Case):
    def refused(self, kind, client=None, **request) -> openai.APIStatusError:
        with self.assertRaises(kind) as caught:
            (client or connect()).chat.completions.create(**asking(**request))
        return caught.exception

    def test_an_unknown_model_is_not_found(self):
        error = self.refused(openai.NotFoundError, model="no-such-model")
        self.assert_error(error, 404, "invalid_request_error", "model_not_found")

    def test_an_unknown_key_is_an_authentication_error(self):
        error = self.refused(openai.AuthenticationError, connect(key="a-key-that-nobody-knows"))
        self.assert_error(error, 401, "invalid_request_error", "invalid_api_key")

    def test_a_prompt_too_long_for_the_model_is_a_bad_request(self):
        error = self.refused(openai.BadRequestError, text="every word counts " * 1500)
        self.assert_error(error, 400, "invalid_request_error", "context_length_exceeded")
        self.assertEqual(error.param, "messages")

    def test_tools_are_a_bad_request_where_nobody_can_use_them(self):
        error = self.refused(openai.BadRequestError, tools=[TOOL])
        self.assert_error(error, 400, "invalid_request_error", "no_capable_backend")

    def test_what_the_model_server_refuses_is_a_bad_request(self):
        error = self.refused(openai.BadRequestError, temperature="warm")
        self.assertEqual((error.status_code, error.type), (400, "invalid_request_error"))

    def test_a_base_url_with_v1_twice_is_told_the_right_one(self):
        error = self.refused(openai.NotFoundError, connect(base="/v1/v1"))
        self.assert_error(error, 404, "invalid_request_error", "unknown_url")
        self.assertIn("/v1", error.message)

    def test_a_broken_backend_is_a_bad_gateway_that_is_not_asked_again_by_the_sdk(self):
        client = OpenAI(base_url=f"{stack.url}/v1", api_key=CLIENT_KEY, max_retries=2)
        error = self.refused(openai.InternalServerError, client, model="broken-alone")
        self.assert_error(error, 502, "server_error", "upstream_error")
        self.assertEqual(error.response.headers["x-should-retry"], "false")
        # which attempt of the SDK's own got this answer: the first and only one
        self.assertEqual(error.response.request.headers["x-stainless-retry-count"], "0")

    def assert_stream_fails(self, model: str):
        arrived = []
        with self.assertRaises(openai.APIError):
            for chunk in connect().chat.completions.create(**asking(model, stream=True)):
                arrived.append(chunk)
        self.assertTrue(arrived, "the failure came before the first event")
        self.assertTrue(all(chunk.choices[0].finish_reason is None for chunk in arrived))

    def test_a_stream_that_breaks_off_is_an_error(self):
        self.assert_stream_fails("broken-cut")

    def test_a_stream_that_ends_without_a_finish_reason_is_an_error(self):
        self.assert_stream_fails("broken-end")


class Keys(Case):
    """Two keys, one over its limit and one over its budget, as an SDK with its own retries sees it."""

    def shown(self, key: str) -> dict:
        return json.loads(get(f"{stack.url}/v1/key", {"authorization": f"Bearer {key}"}))

    def refused_with_retries(self, key: str) -> openai.RateLimitError:
        """What a client gets that repeats twice, as they do unless told otherwise."""
        client = OpenAI(base_url=f"{stack.url}/v1", api_key=key, max_retries=2, timeout=120)
        with self.assertRaises(openai.RateLimitError) as raised:
            client.chat.completions.create(**asking())
        return raised.exception

    def test_a_key_over_its_limit_is_told_when_to_come_back(self):
        client = connect(key=LIMITED_KEY)
        raw = client.chat.completions.with_raw_response.create(**asking())
        self.assertEqual(raw.headers["x-ratelimit-limit-requests"], "2")
        self.assertEqual(raw.headers["x-ratelimit-remaining-requests"], "1")
        client.chat.completions.create(**asking())
        with self.assertRaises(openai.RateLimitError) as raised:
            client.chat.completions.create(**asking())
        error = raised.exception
        self.assert_error(error, 429, "requests", "rate_limit_exceeded")
        self.assertIn("the key `over-its-limit` of 2 requests a minute", error.message)
        seconds, ms = (error.response.headers[name] for name in ("retry-after", "retry-after-ms"))
        self.assertTrue(0 < int(ms) <= int(seconds) * 1000 <= 30_000 + 999, (seconds, ms))
        self.assertEqual(error.response.headers["x-should-retry"], "true")

    def test_a_key_over_its_budget_is_refused_once_whatever_the_sdk_would_repeat(self):
        client = connect(key=BUDGET_KEY)
        spent = 0
        for _ in range(20):
            try:
                raw = client.chat.completions.with_raw_response.create(**asking())
            except openai.RateLimitError:
                break
            spent += pico(raw.headers["x-tollgate-cost-usd"])
        else:
            self.fail("the money was never used up")
        budget = self.shown(BUDGET_KEY)["budget"]
        self.assertEqual(pico(budget["spent_usd"]), spent)
        self.assertEqual(pico(budget["held_usd"]), 0)
        self.assertLessEqual(spent, pico(budget["usd"]))
        # what is left does not pay for another one
        self.assertLess(pico(budget["remaining_usd"]), pico("0.00003"))
        outcome = {"key": "over-its-budget", "outcome": "over_budget"}
        before = stack.metric("tollgate_key_requests_total", **outcome)
        error = self.refused_with_retries(BUDGET_KEY)
        self.assert_error(error, 429, "insufficient_quota", "insufficient_quota")
        self.assertIn("the budget of the key `over-its-budget`", error.message)
        self.assertEqual(error.response.headers["x-should-retry"], "false")
        after = stack.metric("tollgate_key_requests_total", **outcome)
        self.assertEqual(after - before, 1)
        shown = stack.metric("tollgate_budget_spent_usd", key="over-its-budget")
        self.assertEqual(round(shown * PICO), spent)


class Async(unittest.IsolatedAsyncioTestCase, Case):
    async def test_four_chats_at_a_time_are_told_apart(self):
        async with connect(AsyncOpenAI) as client:
            asked = [3, 5, 7, 9]
            answers = await asyncio.gather(
                *(
                    client.chat.completions.create(
                        **asking(max_tokens=n, extra_body={"ignore_eos": True})
                    )
                    for n in asked
                )
            )
        self.assertEqual([answer.usage.completion_tokens for answer in answers], asked)
        self.assertEqual(len({answer._request_id for answer in answers}), 4)

    async def test_four_streams_at_a_time_each_end_with_their_own_usage(self):
        async def last(client: AsyncOpenAI, most: int):
            stream = await client.chat.completions.create(
                **asking(max_tokens=most, stream=True, extra_body={"ignore_eos": True}),
                stream_options={"include_usage": True},
            )
            return [chunk async for chunk in stream][-1]

        async with connect(AsyncOpenAI) as client:
            asked = [4, 6, 8, 10]
            ends = await asyncio.gather(*(last(client, most) for most in asked))
        self.assertEqual([end.usage.completion_tokens for end in ends], asked)


class Disconnects(unittest.IsolatedAsyncioTestCase):
    """Asked of llama.cpp itself, which notices on streams only: a whole answer it works out to
    the end, even when the connection was closed long before."""

    def seconds_until(self, generating: int, limit: float) -> float:
        started = time.monotonic()
        while stack.generating() != generating:
            if time.monotonic() - started > limit:
                self.fail(f"the model is working on {stack.generating()} requests")
            time.sleep(0.01)
        return time.monotonic() - started

    def test_the_model_stops_when_the_client_closes_a_stream(self):
        stream = connect().chat.completions.create(**asking(stream=True) | LONG)
        next(iter(stream))
        self.seconds_until(1, limit=5)
        stream.close()
        self.seconds_until(0, limit=FREED_SECONDS)

    async def test_the_model_stops_when_a_task_that_reads_a_stream_is_cancelled(self):
        first = asyncio.Event()

        async def read():
            async with connect(AsyncOpenAI) as client:
                stream = await client.chat.completions.create(**asking(stream=True) | LONG)
                async for _ in stream:
                    first.set()

        task = asyncio.create_task(read())
        await asyncio.wait_for(first.wait(), 60)
        await asyncio.to_thread(self.seconds_until, 1, 5)
        task.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(self.seconds_until, 0, FREED_SECONDS)

    def test_the_gateway_serves_on_after_clients_have_left(self):
        usage = connect().chat.completions.create(**asking()).usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)


class Node(unittest.TestCase):
    def test_the_node_sdk_chats_streams_lists_and_names_errors(self):
        folder = options.node_sdk
        if not shutil.which("node") or not folder or not Path(folder).is_dir():
            self.skipTest("node or its SDK is missing")
        script = [str(HERE / "test_sdk.mjs"), folder, f"{stack.url}/v1", CLIENT_KEY]
        run = subprocess.run(
            ["node", *script], capture_output=True, text=True, timeout=300, check=False
        )
        self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


def main() -> int:
    global options
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tollgate", help="the program under test")
    parser.add_argument("words", nargs="*", help="only cases whose sentence holds one of these")
    parser.add_argument("--node-sdk", help="the folder that setup.sh installed the Node SDK in")
    options = parser.parse_args()
    options.tollgate = str(Path(options.tollgate).resolve())
    if options.node_sdk:
        options.node_sdk = str(Path(options.node_sdk).resolve())
    return report.run(sys.modules[__name__], options.words)


if __name__ == "__main__":
    sys.exit(main())
