// One demo for all tests: a whole airport in a directory and on ports of its own.

import { spawn } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROGRAM = fileURLToPath(new URL('../target/debug/landside-demo', import.meta.url));
const START_PATIENCE_MS = 240_000; // A cluster is made, and 61 devices are announced, on a machine that may be busy.
const STOP_PATIENCE_MS = 60_000;

export const PASSWORD = 'browser-test-password';

/**
 * Starts a demo and waits until it says where it is. Pages of `origins` may connect as well as its own; tokens are good for
 * `tokenSeconds`, by default as long as anywhere.
 */
export async function startDemo({ origins = [], tokenSeconds = '' } = {}) {
  const data = await mkdtemp(join(tmpdir(), 'landside-browser-'));
  await chmod(data, 0o755); // Postgres runs as another user where this one is root.
  const [http, stomp, metrics] = (await freePorts(3)).map((port) => `127.0.0.1:${port}`);
  const child = spawn(PROGRAM, [], {
    env: {
      ...process.env,
      LANDSIDE_DATA: data,
      LANDSIDE_DEMO_PASSWORD: PASSWORD,
      LANDSIDE_HTTP: http,
      LANDSIDE_STOMP: stomp,
      LANDSIDE_METRICS: metrics,
      LANDSIDE_TOKEN_SECONDS: String(tokenSeconds),
      LANDSIDE_ORIGINS: origins.join(' '),
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const demo = new Demo(child, data, `http://${http}`);
  try {
    await demo.announced();
  } catch (error) {
    await demo.stop();
    throw error;
  }
  return demo;
}

class Demo {
  constructor(child, data, url) {
    this.child = child;
    this.data = data;
    this.url = url;
    this.output = '';
    this.ended = new Promise((resolve) => child.once('close', (code, signal) => resolve({ code, signal })));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8');
      stream.on('data', (text) => { this.output += text; });
    }
  }

  /** Its last message names the address of the dashboard; then everything runs. */
  async announced() {
    const spoken = new Promise((resolve) => {
      this.child.stdout.on('data', () => { if (this.output.includes(this.url)) resolve('ready'); });
    });
    const failed = new Promise((resolve) => this.child.once('error', (error) => resolve(`did not start: ${error.message}`)));
    const ended = this.ended.then(({ code, signal }) => `ended with ${code ?? signal}`);
    const outcome = await within(START_PATIENCE_MS, Promise.race([spoken, ended, failed]), () => 'said nothing in time');
    if (outcome !== 'ready') throw new Error(`landside-demo ${outcome}:\n${this.output}`);
  }

  /** Switches a fault of a simulated device on ("POST") or off ("DELETE"). */
  async fault(method, device, fault) {
    const response = await fetch(await this.control(`/devices/${device}/faults/${fault}`), { method });
    if (!response.ok) throw new Error(`${method} ${fault} of ${device}: ${response.status} ${await response.text()}`);
  }

  /** What a device really does, whatever anybody reports. */
  async truth(device) {
    const { items } = await (await fetch(await this.control('/devices'))).json();
    return items.find((item) => item.id === device);
  }

  async control(path) {
    const address = await readFile(join(this.data, 'airport', 'control.addr'), 'utf8');
    return `http://${address.trim()}${path}`;
  }

  /** Ctrl-C; the exit code. What does not stop is killed, and that is an error. */
  async stop() {
    this.child.kill('SIGINT');
    const { code, signal } = await within(STOP_PATIENCE_MS, this.ended, () => {
      this.child.kill('SIGKILL');
      return this.ended;
    });
    await rm(this.data, { recursive: true, force: true });
    return code ?? signal;
  }
}

/** Ports that were free a moment ago: all are held at once, so that they differ. */
export async function freePorts(count) {
  const servers = await Promise.all(Array.from({ length: count }, () => new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  })));
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

async function within(milliseconds, promise, otherwise) {
  let timer;
  const late = new Promise((resolve) => { timer = setTimeout(() => resolve(otherwise()), milliseconds); });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
