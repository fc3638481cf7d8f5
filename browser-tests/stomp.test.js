// The pages' STOMP client alone, with a SockJS and a clock of the test's.

import assert from 'node:assert/strict';
import { webcrypto } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';

const SCRIPT = readFileSync(new URL('../web-ui/static/stomp.js', import.meta.url), 'utf8');

/** A page that has just begun to look for a transport. `crypto` is the browser's. */
function searching(crypto = webcrypto) {
  const world = { now: 0, written: [], closed: 0, tick: null, socket: null };
  function Socket(url, protocols, options) {
    world.socket = this;
    world.options = options;
    this.readyState = 0;
    this.send = (text) => world.written.push(text);
    this.close = () => {};
  }
  const window = { SockJS: Socket, location: { hostname: 'airport' }, crypto };
  window.setInterval = (tick) => { world.tick = tick; };
  window.clearInterval = () => { world.tick = () => {}; };
  runInNewContext(SCRIPT, { window, Date: { now: () => world.now } });
  world.link = window.landside.connect('/sockjs', ['websocket', 'xhr-polling'], 'Bearer t', { connected() {}, closed() { world.closed += 1; } });
  world.open = (transport) => {
    Object.assign(world.socket, { readyState: 1, transport });
    world.socket.onopen();
  };
  world.hear = () => world.socket.onmessage({ data: '\n' });
  /** Lets seconds pass, one timer at a time. */
  world.pass = (seconds) => {
    for (let second = 0; second < seconds; second += 1) { world.now += 1000; world.tick(); }
  };
  return world;
}

/** A page whose client has just connected to a server that promises and wishes `beats`. */
function page(beats) {
  const world = searching();
  world.open('websocket');
  world.socket.onmessage({ data: `CONNECTED\nversion:1.2\nheart-beat:${beats}\n\n\0` });
  return world;
}

test('a search for a transport has its time, and the server from there to CONNECTED', () => {
  const world = searching();
  world.pass(50);
  assert.equal(world.closed, 0, 'SockJS may still be trying its last one');
  world.open('xhr-polling');
  assert.equal(world.link.transport(), 'xhr-polling');
  world.pass(10);
  assert.equal(world.closed, 0);
  world.pass(1);
  assert.equal(world.closed, 1);
});

test('a search without end ends', () => {
  const world = searching();
  world.pass(61);
  assert.equal(world.closed, 1);
});

test('nothing counts as heard before something is', () => {
  const world = searching();
  world.now = 5000;
  assert.equal(world.link.received(), 0);
  world.open('websocket');
  world.hear();
  assert.equal(world.link.received(), 5000);
});

for (const [browser, crypto] of [['with', webcrypto], ['without', undefined]]) {
  test(`the ids of sessions are long and differ, ${browser} window.crypto`, () => {
    const { sessionId } = searching(crypto).options;
    const ids = new Set(Array.from({ length: 100 }, sessionId));
    assert.equal(ids.size, 100);
    for (const id of ids) assert.match(id, /^[0-9a-f]{32}$/, '128 bits, in what a URL takes as it is');
  });
}

test('two seconds are offered both ways', () => {
  assert.match(page('2000,2000').written[0], /\nheart-beat:2000,2000\n/);
});

for (const [beats, silence] of [['2000,10000', 6], ['1,1', 6], ['10000,10000', 30]]) {
  test(`a server that agreed on ${beats} is lost after ${silence} s of silence`, () => {
    const world = page(beats);
    world.pass(silence);
    assert.equal(world.closed, 0);
    world.hear();
    world.pass(silence);
    assert.equal(world.closed, 0, 'any byte is a sign of life');
    world.pass(1);
    assert.equal(world.closed, 1);
  });
}

test('a server that promised nothing may be silent', () => {
  const world = page('0,0');
  world.pass(600);
  assert.equal(world.closed, 0);
  assert.equal(world.written.length, 1, 'and wished for nothing');
});

test('beats are sent as often as the server wishes', () => {
  const world = page('2000,10000');
  for (let second = 0; second < 60; second += 1) { world.hear(); world.pass(1); }
  assert.equal(world.written.filter((text) => text === '\n').length, 6);
});

test('what a page slept through is no silence of the server', () => {
  const world = page('2000,2000');
  world.now += 60_000;
  world.tick();
  assert.equal(world.closed, 0, 'beats of the server may still wait to be read');
  world.hear();
  world.pass(6);
  assert.equal(world.closed, 0);
  world.pass(1);
  assert.equal(world.closed, 1);
});

test('a server that is gone when a page wakes up is found out at once', () => {
  const world = page('2000,2000');
  world.now += 60_000;
  world.tick();
  world.pass(1);
  assert.equal(world.closed, 1);
});
