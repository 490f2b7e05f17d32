// Starts and ends what the browser looks at: the simulator, the gateway, and clients that ask it.

import { spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const START_MS = 30_000;

export const ADMIN_KEY = 'admin-key-of-the-console-test';
const KEYS = { TEAM_A: 'key-of-team-a-in-the-test', TEAM_B: 'key-of-team-b-in-the-test', BATCH: 'key-of-batch-in-the-test' };

/** A gateway with simulated backends, in a folder of its own; `changes` are words of its file and what replaces them. */
export class Stack {
  static async start(bin, yaml, changes = []) {
    const folder = mkdtempSync(join(tmpdir(), 'tollgate-console-'));
    const [simulator, clients, operator] = await freePorts(3);
    const stack = new Stack();
    stack.folder = folder;
    stack.file = join(folder, 'tollgate.yaml');
    stack.clients = `http://127.0.0.1:${clients}`;
    stack.operator = `http://127.0.0.1:${operator}`;
    copyFileSync(yaml, stack.file);
    for (const [from, to] of changes) stack.rewrite(from, to);
    const env = {
      ...process.env, ...KEYS, ADMIN_KEY, SIMULATOR: `http://127.0.0.1:${simulator}`,
      CLIENTS: `127.0.0.1:${clients}`, OPERATOR: `127.0.0.1:${operator}`,
    };
    stack.programs = [
      program(bin, ['simulate', '--listen', `127.0.0.1:${simulator}`], folder, 'simulator', env),
      program(bin, ['serve', '--config', stack.file], folder, 'gateway', env),
    ];
    await answers(`http://127.0.0.1:${simulator}/health`, stack);
    await answers(`${stack.operator}/readyz`, stack);
    return stack;
  }

  /** Sends a request as a client; the answer is read to its end. */
  async ask(key, body, headers = {}) {
    const response = await fetch(`${this.clients}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEYS[key]}`, 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body),
    });
    await response.arrayBuffer();
    return response.status;
  }

  /** Asks the operator's address with the admin key. */
  async operate(path) {
    const response = await fetch(this.operator + path, { headers: { authorization: `Bearer ${ADMIN_KEY}` } });
    return response.json();
  }

  log(name) {
    return readFileSync(join(this.folder, `${name}.log`), 'utf8');
  }

  /** Replaces words of the configuration file. */
  rewrite(from, to) {
    writeFileSync(this.file, readFileSync(this.file, 'utf8').replace(from, to));
  }

  /** Ends one of the two. */
  async end(name) {
    const one = this.programs.find((it) => it.name === name);
    if (!one || one.child.exitCode !== null) return;
    const ended = new Promise((resolve) => one.child.once('exit', resolve));
    one.child.kill('SIGTERM');
    await Promise.race([ended, sleep(10_000)]);
    one.child.kill('SIGKILL');
  }

  async stop() {
    await Promise.all(this.programs.map(({ name }) => this.end(name)));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Requests of every kind that people send, and some that are refused. */
export async function busy(stack, rounds) {
  const chat = (model, content, more = {}) => ({ model, messages: [{ role: 'user', content }], ...more });
  const stream = { stream: true, stream_options: { include_usage: true } };
  const tool = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: {} } } }];
  for (let round = 0; round < rounds; round += 1) {
    await Promise.all([
      stack.ask('TEAM_A', chat('auto', 'Why is the sky blue?')),
      stack.ask('TEAM_A', chat('auto', 'Write a poem.', stream), { 'x-tollgate-tags': 'feature=poems' }),
      stack.ask('TEAM_A', chat('auto', 'How is the weather?', { tools: tool, parallel_tool_calls: true })),
      stack.ask('TEAM_A', chat('glm-5.2', 'Explain Raft.', stream)),
      stack.ask('TEAM_B', chat('careful', 'Review this clause.')),
      stack.ask('TEAM_B', chat('qwen', 'Sum this up.', stream)),
      stack.ask('TEAM_B', chat('gpt-5.4', 'This key may not.')),
      stack.ask('BATCH', chat('gpt-5.4', 'More than the budget allows.', { max_tokens: 100000 })),
    ]);
  }
}

function program(bin, args, folder, name, env) {
  const log = openSync(join(folder, `${name}.log`), 'w');
  const child = spawn(bin, args, { cwd: folder, env, stdio: ['ignore', log, log] });
  return { name, child };
}

async function answers(url, stack) {
  const deadline = Date.now() + START_MS;
  while (Date.now() < deadline) {
    const early = stack.programs.find(({ child }) => child.exitCode !== null);
    if (early) throw new Error(`${early.name} ended early:\n${stack.log(early.name)}`);
    try {
      if ((await fetch(url)).ok) return;
    } catch {
      // not listening yet
    }
    await sleep(50);
  }
  throw new Error(`${url} did not answer in ${START_MS} ms`);
}

async function freePorts(number) {
  const servers = await Promise.all(Array.from({ length: number }, () => new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => { server.close(resolve); })));
  return ports;
}
