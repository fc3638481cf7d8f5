// The two processes of these tests, and those who talk with them: a server that trusts a provider, and people without a
// browser.

import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../demo.js';

const PROGRAM = fileURLToPath(new URL('../../target/debug/landside-server', import.meta.url));
const HERE = fileURLToPath(new URL('.', import.meta.url));
const START_PATIENCE_MS = 120_000; // A cluster is made, on a machine that may be busy.
const PATIENCE_MS = 30_000;

export const PASSWORD = 'identity-test-password';
export const AUDIENCE = 'https://landside.example/api';

/** Ports for everything, so that a provider comes back where it was. */
export async function choosePorts() {
  const [provider, http, stomp, metrics, other] = await freePorts(5);
  return { provider, http, stomp, metrics, other };
}

/** A process that has said that it is ready. */
class Process {
  constructor(command, args, env, sign) {
    this.output = '';
    this.child = spawn(command, args, { cwd: HERE, env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
    this.ready = new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${command} said nothing in time:\n${this.output}`)), START_PATIENCE_MS);
      for (const stream of [this.child.stdout, this.child.stderr]) {
        stream.setEncoding('utf8');
        stream.on('data', (text) => {
          this.output += text;
          if (this.output.includes(sign)) { clearTimeout(late); resolve(); }
        });
      }
      this.ended.then(() => { clearTimeout(late); reject(new Error(`${command} ended:\n${this.output}`)); });
      this.child.once('error', reject);
    });
    this.ready.catch(() => {});
  }

  async stop() {
    this.child.kill('SIGTERM');
    await this.ended;
  }
}

/** Starts the provider; its keys are new each time. */
export async function startProvider(ports, { algorithm = 'ES256', key = 'one', clockOffset = 0 } = {}) {
  const provider = new Process(process.execPath, ['--require', './clock.cjs', 'provider.js'], {
    PORT: ports.provider,
    ALGORITHM: algorithm,
    KEY_ID: key,
    CLOCK_OFFSET: clockOffset,
    RETURN_URLS: `http://127.0.0.1:${ports.http}/sign-in/external/return http://127.0.0.1:${ports.other}/`,
  }, 'ready');
  await provider.ready;
  return provider;
}

/** Starts a server that trusts the provider, with a local supervisor `ada`, who comes in by password alone. */
export async function startServer(ports) {
  const data = await mkdtemp(join(tmpdir(), 'landside-identity-'));
  await chmod(data, 0o755); // Postgres runs as another user where this one is root.
  await writeFile(join(data, 'server.toml'), `
data = "data"
[http]
listen = "127.0.0.1:${ports.http}"
[stomp]
listen = "127.0.0.1:${ports.stomp}"
[metrics]
listen = "127.0.0.1:${ports.metrics}"
[[zone]]
id = "p1"
name = { ko = "주차장 P1", en = "Car park P1" }
[[zone]]
id = "p2"
name = { ko = "주차장 P2", en = "Car park P2" }
[access]
file = "access.toml"
[provider]
issuer = "http://127.0.0.1:${ports.provider}"
client_id = "landside"
client_secret_env = "PROVIDER_SECRET"
name = { ko = "공항 계정", en = "Airport account" }
audience = "${AUDIENCE}"
trusts_second_factor = true
[provider.roles]
landside-operators = "operator"
landside-technicians = "technician"
landside-machines = "program"
[provider.zones]
landside-operators = ["p1"]
landside-technicians = ["*"]
landside-machines = ["*"]
`);
  await writeFile(join(data, 'access.toml'), `
[[user]]
name = "ada"
full_name = "Ada"
role = "supervisor"
zones = ["*"]
password_env = "ADA_PASSWORD"
`);
  const env = { ADA_PASSWORD: PASSWORD, PROVIDER_SECRET: 'a secret: of +%', DATABASE_URL: '' };
  const server = new Process(PROGRAM, ['run', '--config', join(data, 'server.toml')], env, 'the server runs');
  try {
    await server.ready;
  } catch (error) {
    await rm(data, { recursive: true, force: true });
    throw error;
  }
  return {
    url: `http://127.0.0.1:${ports.http}`,
    output: () => server.output,
    async stop() {
      await server.stop();
      await rm(data, { recursive: true, force: true });
    },
  };
}

/** Somebody with cookies, who follows where they are sent. */
export class Person {
  constructor() {
    this.cookies = new Map();
    this.visited = [];
  }

  async request(url, options = {}) {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ');
    const origin = options.method === 'POST' ? { origin: new URL(url).origin } : {};
    const headers = { 'accept-language': 'en', ...origin, ...options.headers, ...(cookie ? { cookie } : {}) };
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const response = await fetch(url, { ...options, headers, signal, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
      if (value === '') this.cookies.delete(name);
      else this.cookies.set(name, value);
    }
    return response;
  }

  /** Goes on until there is a page, or a redirect to where `until` says to stop. */
  async follow(url, until = () => false, options = {}) {
    let response = await this.request(url, options);
    for (let hops = 0; hops < 12 && response.status >= 300 && response.status < 400; hops += 1) {
      url = new URL(response.headers.get('location'), url).href;
      this.visited.push(url);
      if (until(url)) return { url, status: 0, text: '' };
      response = await this.request(url);
    }
    return { url, status: response.status, text: await response.text() };
  }

  /** Goes to `url`, which leads to the provider, and says there who they are. */
  async visit(url, sub, until) {
    const asked = await this.follow(url);
    if (!new URL(asked.url).pathname.startsWith('/interaction/')) return asked;
    return this.follow(asked.url, until, { method: 'POST', body: new URLSearchParams({ login: sub }) });
  }

  /** Signs in to the server by the button on its page. */
  async signIn(server, sub, next = '/') {
    return this.visit(`${server.url}/sign-in/external?next=${encodeURIComponent(next)}`, sub);
  }
}

/** The answer of the API to a token. */
export async function api(server, token) {
  const response = await fetch(`${server.url}/api/v1/devices`, { headers: { authorization: `Bearer ${token}` } });
  return { status: response.status, body: await response.json() };
}

/** What STOMP over TCP answers to a CONNECT with a token: the first frame. */
export function stomp(ports, token) {
  return new Promise((resolve, reject) => {
    const socket = connect(ports.stomp, '127.0.0.1');
    socket.setTimeout(PATIENCE_MS, () => { socket.destroy(); reject(new Error('no answer to CONNECT')); });
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (text) => {
      answer += text;
      if (answer.includes('\0')) { socket.destroy(); resolve(answer.slice(0, answer.indexOf('\0'))); }
    });
    socket.on('error', reject);
    socket.write(`CONNECT\naccept-version:1.2\nhost:landside\nAuthorization:Bearer ${token}\n\n\0`);
  });
}

/** Asks again until the answer is good: for what happens some seconds later. */
export async function eventually(ask, good) {
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (good(answer)) return answer;
    if (Date.now() > deadline) throw new Error(`it stayed ${JSON.stringify(answer)}`);
    await new Promise((resolve) => { setTimeout(resolve, 250); });
  }
}
