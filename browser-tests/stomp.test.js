// The pages' STOMP client alone, with a socket and a clock of the test's.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { runInNewContext } from 'node:vm';

const SCRIPT = readFileSync(new URL('../web-ui/static/stomp.js', import.meta.url), 'utf8');

/** A page whose client has just connected to a server that promises and wishes `beats`. */
function page(beats) {
  const world = { now: 0, written: [], closed: 0, tick: null, socket: null };
  function Socket() {
    world.socket = this;
    this.readyState = 1;
    this.send = (text) => world.written.push(text);
    this.close = () => {};
  }
  const window = { WebSocket: Socket, location: { hostname: 'airport' } };
  window.setInterval = (tick) => { world.tick = tick; };
  window.clearInterval = () => { world.tick = () => {}; };
  runInNewContext(SCRIPT, { window, WebSocket: Socket, Date: { now: () => world.now } });
  window.landside.connect('ws://airport/ws', 'Bearer t', { connected() {}, closed() { world.closed += 1; } });
  world.socket.onopen();
  world.hear = () => world.socket.onmessage({ data: '\n' });
  world.socket.onmessage({ data: `CONNECTED\nversion:1.2\nheart-beat:${beats}\n\n\0` });
  /** Lets seconds pass, one timer at a time. */
  world.pass = (seconds) => {
    for (let second = 0; second < seconds; second += 1) { world.now += 1000; world.tick(); }
  };
  return world;
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
