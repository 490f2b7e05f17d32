// The official Node SDK as a client of the gateway. Prints nothing when all is well.
//
//   node test_sdk.mjs FOLDER_OF_THE_SDK BASE_URL KEY

import assert from "node:assert/strict";
import { createRequire } from "node:module";

const [folder, baseURL, apiKey] = process.argv.slice(2);
const { OpenAI, NotFoundError, AuthenticationError } = createRequire(`${folder}/`)("openai");

const client = new OpenAI({ apiKey, baseURL, maxRetries: 0, timeout: 120_000 });
const ask = {
  model: "smollm2-135m",
  messages: [{ role: "user", content: "Say hello." }],
  max_tokens: 8,
};

function adds(usage) {
  assert.equal(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens);
  assert.ok(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
}

// a whole answer, and what the gateway says about it
const { data, response } = await client.chat.completions.create(ask).withResponse();
adds(data.usage);
assert.equal(data.choices.length, 1);
assert.equal(response.headers.get("x-tollgate-model"), "smollm2-135m");
assert.match(response.headers.get("x-tollgate-cost-usd"), /^\d+(\.\d+)?$/);
assert.ok(response.headers.get("x-request-id"));

// a stream: usage in the last event and in no other
const chunks = [];
const stream = await client.chat.completions.create({
  ...ask,
  stream: true,
  stream_options: { include_usage: true },
});
for await (const chunk of stream) chunks.push(chunk);
const last = chunks.pop();
assert.deepEqual(last.choices, []);
adds(last.usage);
assert.ok(chunks.every((chunk) => chunk.choices.length === 1 && !chunk.usage));

// what can be called
const listed = [];
for await (const model of client.models.list()) listed.push(model.id);
assert.ok(listed.includes("smollm2-135m") && listed.includes("auto"));

// errors arrive as the classes that a program catches
await assert.rejects(client.chat.completions.create({ ...ask, model: "no-such" }), NotFoundError);
const stranger = new OpenAI({ apiKey: "a-key-that-nobody-knows", baseURL, maxRetries: 0 });
await assert.rejects(stranger.chat.completions.create(ask), AuthenticationError);
