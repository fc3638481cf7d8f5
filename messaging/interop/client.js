// A client of another make in a process of its own. Its lines, in and out, are frames in Base64 as 1.2 writes them: what the
// program is to do with the client's own calls, and what the client tells its user. LOST is the end of a connection.

import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

import { decode, encode, Inbox } from './wire.js';

/** Whether the client that asks for positions by itself asks for one here. */
const isPlainTopic = (headers) => headers.destination.startsWith('/topic/')
  && !['x-resume-from', 'x-conflate', 'durable-subscription-name'].some((name) => name in headers);

export class Client {
  /** `make` is one of makes.js; `tap` is where the client connects to. */
  constructor(make, tap) {
    this.make = make;
    this.tap = tap;
    this.inbox = new Inbox(make.name);
    this.receipts = 0;
    /** Subscriptions whose gap notice at the start is still to come, and no feature waits for it. */
    this.starting = new Set();
    const [program, ...words] = make.command;
    this.process = spawn(program, [...words, '127.0.0.1', `${tap.port}`], { stdio: ['pipe', 'pipe', 'pipe'], env: { ...process.env, ...make.environment } });
    this.errors = '';
    this.process.stderr.on('data', (text) => { this.errors = `${this.errors}${text}`.slice(-2000); });
    this.process.stdin.on('error', () => {});
    this.process.on('error', (error) => this.inbox.fail(`${program} did not start: ${error.message}`));
    this.process.on('exit', (code) => this.inbox.fail(`its program ended with code ${code}: ${this.errors}`));
    createInterface({ input: this.process.stdout }).on('line', (line) => {
      const next = decode(Buffer.from(line, 'base64'));
      if (next) this.#take(next.frame);
      else this.inbox.fail(`its program said ${line}`);
    });
  }

  #take(frame) {
    const { subscription, 'x-gap': gap } = frame.headers;
    if (frame.command === 'MESSAGE' && gap === 'true' && this.starting.delete(subscription)) return;
    this.inbox.push(frame);
  }

  do(command, headers, body) {
    if (this.make.positions && command === 'SUBSCRIBE' && isPlainTopic(headers)) this.starting.add(headers.id);
    this.process.stdin.write(`${encode({ command, headers, body }).toString('base64')}\n`);
  }

  /** Asks for a session. */
  knock(headers = {}) {
    this.do('CONNECT', { login: 'guest', passcode: 'guest', 'heart-beat': '10000,10000', ...headers });
  }

  /** Opens a session and returns CONNECTED. */
  async connect(headers) {
    this.knock(headers);
    return this.inbox.take('CONNECTED');
  }

  /** Returns when the broker has done all that was sent: not every client can ask for a RECEIPT of everything. */
  async settle() {
    this.receipts += 1;
    const receipt = `settled-${this.receipts}`;
    this.do('SEND', { destination: `/topic/interop/${this.make.id}/settle`, receipt }, '.');
    await this.inbox.take('RECEIPT', { 'receipt-id': receipt });
  }

  async subscribe(destination, headers = {}) {
    this.do('SUBSCRIBE', { id: 'sub', destination, ack: 'auto', ...headers });
    await this.settle();
  }

  message(headers) {
    return this.inbox.take('MESSAGE', headers);
  }

  /** ACK or NACK as the client's version names a message. */
  answer(command, { headers }, more = {}) {
    const { version } = this.make;
    if (version === '1.2') this.do(command, { id: headers.ack, ...more });
    else if (version === '1.1') this.do(command, { 'message-id': headers['message-id'], subscription: headers.subscription, ...more });
    else this.do(command, { 'message-id': headers['message-id'], ...more });
  }

  /** The end of a connection after an ERROR; a client that reconnects must say that it does not. */
  async refused() {
    await this.inbox.take(this.make.refusal ?? 'LOST');
  }

  async disconnect() {
    this.do('DISCONNECT');
    await this.inbox.take('LOST');
  }

  end() {
    this.process.removeAllListeners('exit');
    this.process.kill('SIGKILL');
  }
}
