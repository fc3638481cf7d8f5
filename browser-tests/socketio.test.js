// The real socket.io-client, new and old, by polling alone and over a WebSocket, against a whole demo; and the examples
// of docs/clients/socket.io.md as they stand there.

import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import { io as newest } from 'socket.io-client';
import old from 'socket.io-client-2';
import { PASSWORD, startDemo } from './demo.js';

const DOCUMENT = readFileSync(new URL('../docs/clients/socket.io.md', import.meta.url), 'utf8');
const KIOSK = 'kiosk-p2-f1-1'; // The demo's own scenario leaves it alone.
const GATE = 'gate-t1-staff-1';
const TEST_LIMIT = { timeout: 60_000 };

let demo;
let token;

before(async () => {
  demo = await startDemo();
  token = await freshToken();
}, { timeout: 300_000 });

after(async () => {
  if (demo) assert.equal(await demo.stop(), 0, `the demo did not end well:\n${demo.output}`);
}, { timeout: 90_000 });

async function freshToken() {
  const response = await fetch(`${demo.url}/oauth/token`, {
    method: 'POST',
    headers: { authorization: `Basic ${btoa(`demo-program:${PASSWORD}`)}` },
    body: new URLSearchParams({ grant_type: 'client_credentials' }),
  });
  return (await response.json()).access_token;
}

async function acknowledge({ id, occurrence }) {
  const response = await fetch(`${demo.url}/api/v1/alarms/${id}/acknowledge`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ occurrence }),
  });
  assert.equal(response.status, 200);
}

const CLIENTS = {
  'socket.io-client 4': (bearer, options) => newest(demo.url, { forceNew: true, auth: { token: bearer }, ...options }),
  'socket.io-client 2': (bearer, options) => old(demo.url, { forceNew: true, query: { token: bearer }, ...options }),
};
const WAYS = { polling: ['polling'], websocket: ['websocket'], 'polling, then websocket': ['polling', 'websocket'] };

for (const [client, connect] of Object.entries(CLIENTS)) {
  for (const [way, transports] of Object.entries(WAYS)) {
    const on = async (bearer, use) => {
      const socket = connect(bearer, { transports });
      try {
        await use(socket, new Events(socket));
      } finally {
        socket.close();
      }
    };

    test(`${client} by ${way}: live states, an alarm, a command`, TEST_LIMIT, () => on(token, async (socket, events) => {
      await events.next('connect');
      assert.deepEqual(await ask(socket, 'subscribe', { destination: '/topic/alarms', id: 'alarms' }), { ok: true, id: 'alarms' });
      const { id } = await ask(socket, 'subscribe', { destination: `/topic/devices/${KIOSK}` });
      assert.equal((await ask(socket, 'subscribe', { destination: `/topic/devices/${GATE}` })).ok, true);

      await demo.fault('POST', KIOSK, 'paper_out');
      const alarm = await events.message(({ subscription, body }) => subscription === 'alarms' && body.device === KIOSK
        && body.state === 'unacknowledged');
      const device = await events.message(({ subscription, body }) => subscription === id && body.condition === 'faulty');
      assert.equal(device.destination, `/topic/devices/${KIOSK}`);
      assert.ok(Array.isArray(device.body.points), 'JSON is an object');

      const destination = `/app/alarms/${alarm.body.id}/acknowledge`;
      const answer = await ask(socket, 'send', { destination, body: { occurrence: alarm.body.occurrence } });
      assert.deepEqual(answer, { ok: true });
      await events.message(({ body }) => body.device === KIOSK && body.state === 'acknowledged');
      const stale = await ask(socket, 'send', { destination, body: { occurrence: alarm.body.occurrence + 1000 } });
      assert.equal(stale.ok, false);
      assert.match(stale.code, /^[a-z-]+$/);
      await demo.fault('DELETE', KIOSK, 'paper_out');
      await events.message(({ body }) => body.device === KIOSK && body.state === 'normal');

      // A buffer is as good as an object where JSON is expected.
      const commands = `/app/devices/${GATE}/commands`;
      const command = { key: crypto.randomUUID(), name: 'open' };
      assert.deepEqual(await ask(socket, 'send', { destination: commands, body: command }), { ok: true });
      const buffer = Buffer.from(JSON.stringify(command));
      assert.deepEqual(await ask(socket, 'send', { destination: commands, body: buffer }), { ok: true }, 'the same once more');
      assert.deepEqual(await ask(socket, 'token', { token: await freshToken() }), { ok: true });
      const mistake = await ask(socket, 'subscribe', { destinatoin: '/topic/alarms' });
      assert.equal(mistake.code, 'bad-event');
    }));

    test(`${client} by ${way}: a bad token is refused`, TEST_LIMIT, () => on('forged', async (socket, events) => {
      if (client.endsWith('4')) {
        const error = await events.next('connect_error');
        assert.equal(error.data.code, 'unauthenticated');
        assert.match(error.message, /token/);
        assert.equal(socket.active, false, 'it does not come back by itself');
      } else {
        const error = await events.next('error');
        assert.equal(error.code, 'unauthenticated');
        assert.match(error.message, /token/);
      }
    }));

    test(`${client} by ${way}: a forbidden destination is refused`, TEST_LIMIT, () => on(token, async (socket, events) => {
      await events.next('connect');
      const answer = await ask(socket, 'subscribe', { destination: '/user/queue/commands' });
      assert.deepEqual([answer.ok, answer.code], [false, 'forbidden']);
      assert.equal((await events.next('error')).code, 'forbidden');
      assert.equal(await events.next('disconnect'), 'io server disconnect');
    }));
  }
}

for (const [version, io] of Object.entries({ '3 and 4': newest, '1 and 2': old })) {
  test(`the example for socket.io-client ${version} works as it stands`, TEST_LIMIT, async () => {
    const world = new Events(null);
    const note = (name) => (...values) => world.note(name, values);
    const given = {
      io: (...all) => { world.socket = io(...all); return world.socket; },
      url: demo.url, token, freshToken, last: 'new',
      tell: note('tell'), show: note('show'), readAnew: note('readAnew'),
    };
    const run = new Function(...Object.keys(given), example(version));
    try {
      run(...Object.values(given));
      await world.next('readAnew');
      await demo.fault('POST', KIOSK, 'paper_out');
      const shows = (state) => world.next('show', ([, body]) => body.device === KIOSK && body.state === state);
      const [destination, alarm] = await shows('unacknowledged');
      assert.equal(destination, '/topic/alarms');
      assert.equal(alarm.code, 'KSK-PAPER-OUT');
      await demo.fault('DELETE', KIOSK, 'paper_out');
      await shows('returned_unacknowledged');
      await acknowledge(alarm);
      await shows('normal');
      assert.deepEqual(world.kept('tell'), [], 'nothing to complain about');
    } finally {
      world.socket?.close();
    }
  });
}

/** The code of a section, which is given what it imports. */
function example(version) {
  const section = DOCUMENT.split(`## socket.io-client ${version}`)[1];
  return section.split('```js\n')[1].split('```')[0].replace(/^import .*$/m, '');
}

function ask(socket, event, argument) {
  return new Promise((resolve, reject) => {
    socket.on('disconnect', (reason) => setTimeout(() => reject(new Error(`${reason} instead of an answer to ${event}`)), 1000));
    socket.emit(event, argument, resolve);
  });
}

/** What a socket says, kept until it is asked for. */
class Events {
  constructor(socket) {
    this.all = [];
    this.arrivals = new EventEmitter();
    for (const name of ['connect', 'connect_error', 'disconnect', 'error', 'message', 'refusal']) {
      socket?.on(name, (value) => this.note(name, value));
    }
  }

  note(name, value) {
    this.all.push({ name, value });
    this.arrivals.emit('one');
  }

  kept(name) {
    return this.all.filter((event) => event.name === name).map((event) => event.value);
  }

  /** The first of this name that fits; what came before it stays for others. */
  async next(name, fits = () => true) {
    for (;;) {
      const at = this.all.findIndex((event) => event.name === name && fits(event.value));
      if (at >= 0) return this.all.splice(at, 1)[0].value;
      await once(this.arrivals, 'one');
    }
  }

  message(fits) {
    return this.next('message', (message) => fits(message));
  }
}
