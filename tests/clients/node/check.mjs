// OpenAI's package for Node, unmodified, against Pressroom: `node check.mjs PACKAGE`, where PACKAGE is a folder of
// node_modules. Reads OPENAI_BASE_URL and OPENAI_API_KEY as the package does. Prints a line for each check and ends with 1 if one
// failed.
import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const { default: OpenAI, toFile, NotFoundError, AuthenticationError, BadRequestError } = await import(process.argv[2]);
const client = new OpenAI({ maxRetries: 0, timeout: 60_000 });
const messages = [{ role: "user", content: "Say hello." }];
const PNG = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

async function collect(iterable) {
  const found = [];
  for await (const one of iterable) found.push(one);
  return found;
}

async function finished(id) {
  for (;;) {
    const batch = await client.batches.retrieve(id);
    if (["completed", "failed", "expired", "cancelled"].includes(batch.status)) return batch;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function lines(requests) {
  return requests.map((request) => JSON.stringify({ method: "POST", ...request })).join("\n") + "\n";
}

const checks = {
  async models() {
    const models = await collect(client.models.list());
    assert.ok(models.some((model) => model.id === "gpt-4o-mini"));
    assert.equal((await client.models.retrieve("gpt-4o-mini")).object, "model");
  },

  async chat() {
    const { data: answer, response } = await client.chat.completions
      .create({ model: "gpt-4o-mini", messages, max_tokens: 20 })
      .withResponse();
    assert.equal(answer.object, "chat.completion");
    assert.ok(answer.choices[0].message.content.length > 0);
    assert.ok(answer.usage.total_tokens > 0);
    assert.ok(response.headers.get("x-request-id"));
  },

  async "chat, many at once"() {
    const asked = Array.from({ length: 20 }, (_, n) =>
      client.chat.completions.create({ model: "gpt-4o-mini", messages: [{ role: "user", content: `Number ${n}` }] }),
    );
    assert.equal(new Set((await Promise.all(asked)).map((answer) => answer.id)).size, 20);
  },

  async "chat, streaming"() {
    const stream = await client.chat.completions.create({
      model: "gpt-4o-mini",
      messages,
      max_tokens: 20,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks = await collect(stream);
    assert.ok(chunks.every((chunk) => chunk.object === "chat.completion.chunk"));
    assert.ok(chunks.map((chunk) => chunk.choices[0]?.delta?.content ?? "").join("").length > 0);
    assert.equal(chunks.filter((chunk) => chunk.choices[0]?.finish_reason).length, 1);
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  },

  async "images, as data and as addresses"() {
    const asked = { model: "dall-e-2", prompt: "a fox", size: "256x256" };
    const [first] = (await client.images.generate({ ...asked, response_format: "b64_json" })).data;
    assert.deepEqual(Buffer.from(first.b64_json, "base64").subarray(0, 8), PNG);
    const { data } = await client.images.generate({ ...asked, n: 2 });
    assert.equal(data.length, 2);
    for (const { url } of data) {
      assert.deepEqual(Buffer.from(await (await fetch(url)).arrayBuffer()).subarray(0, 8), PNG);
    }
  },

  async "files, from memory and from disk"() {
    const text = lines([{ custom_id: "1", url: "/v1/chat/completions", body: { model: "gpt-4o-mini", messages } }]);
    const folder = await mkdtemp(join(tmpdir(), "pressroom-node-"));
    await writeFile(join(folder, "disk.jsonl"), text);
    const sent = [
      await client.files.create({ file: await toFile(Buffer.from(text), "memory.jsonl"), purpose: "batch" }),
      await client.files.create({ file: createReadStream(join(folder, "disk.jsonl")), purpose: "batch" }),
    ];
    await rm(folder, { recursive: true });
    assert.deepEqual(sent.map((file) => file.filename), ["memory.jsonl", "disk.jsonl"]);
    assert.equal((await client.files.retrieve(sent[0].id)).bytes, text.length);
    assert.equal(await (await client.files.content(sent[0].id)).text(), text);
    const listed = await collect(client.files.list({ limit: 1, purpose: "batch" }));
    for (const file of sent) {
      assert.ok(listed.some((other) => other.id === file.id));
      assert.equal((await client.files.delete(file.id)).deleted, true);
      await assert.rejects(client.files.retrieve(file.id), NotFoundError);
    }
  },

  async batches() {
    const requests = Array.from({ length: 12 }, (_, n) => ({
      custom_id: `text-${n}`,
      url: "/v1/chat/completions",
      body: { model: "gpt-4o-mini", messages: [{ role: "user", content: `Number ${n}` }], max_tokens: 20 },
    }));
    const file = await client.files.create({ file: await toFile(Buffer.from(lines(requests)), "in.jsonl"), purpose: "batch" });
    const asked = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
    const created = await client.batches.create({ ...asked, metadata: { of: "node" } });
    const batch = await finished(created.id);
    assert.equal(batch.status, "completed");
    const { total, completed, failed } = batch.request_counts;
    assert.deepEqual([total, completed, failed], [12, 12, 0]);
    assert.deepEqual(batch.metadata, { of: "node" });
    const output = await (await client.files.content(batch.output_file_id)).text();
    const answers = output.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(new Set(answers.map((a) => a.custom_id)), new Set(requests.map((r) => r.custom_id)));
    assert.ok(answers.every((a) => a.response.status_code === 200 && a.response.body.choices[0].message.content));
    assert.ok((await collect(client.batches.list({ limit: 1 }))).some((other) => other.id === batch.id));
  },

  async "batches that are cancelled"() {
    const requests = Array.from({ length: 400 }, (_, n) => ({
      custom_id: `text-${n}`,
      url: "/v1/chat/completions",
      body: { model: "gpt-4o-mini", messages, max_tokens: 20 },
    }));
    const file = await client.files.create({ file: await toFile(Buffer.from(lines(requests)), "in.jsonl"), purpose: "batch" });
    const asked = { input_file_id: file.id, endpoint: "/v1/chat/completions", completion_window: "24h" };
    const { id } = await client.batches.create(asked);
    assert.ok(["cancelling", "cancelled", "completed"].includes((await client.batches.cancel(id)).status));
    const cancelled = await finished(id);
    assert.ok(["cancelled", "completed"].includes(cancelled.status));
    assert.ok(cancelled.cancelled_at || cancelled.completed_at);
  },

  async "errors are of the package's own kinds"() {
    const stranger = new OpenAI({ apiKey: "pr_nobody", maxRetries: 0 });
    await assert.rejects(async () => await stranger.models.list(), AuthenticationError);
    await assert.rejects(client.batches.retrieve("batch_00000000000000000000000000000000"), NotFoundError);
    const wrong = client.chat.completions.create({ model: "gpt-4o-mini", messages, temperature: 9 });
    await assert.rejects(wrong, (error) => error instanceof BadRequestError && error.param === "temperature");
  },
};

let failed = 0;
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`ok: ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED: ${name}\n${error.stack}`);
  }
}
console.log(`${Object.keys(checks).length} checks, ${failed} failed`);
process.exit(failed ? 1 : 0);
