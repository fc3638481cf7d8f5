// Starts the broker, puts every client through every feature, and prints the matrix. See README.md.

import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { Client } from './client.js';
import { FEATURES } from './features.js';
import { MAKES } from './makes.js';
import { Tap } from './tap.js';
import { Peer } from './wire.js';

const BROKER = process.env.OPEN_BROKER ?? fileURLToPath(new URL('../../target/debug/examples/open_broker', import.meta.url));

/** The broker's heart-beats: every second from it; half as often as the clients that are tried beat, so that it gives up within the test. */
const BEATS = '1000,500';

/** What a feature must not leave behind: nothing was to come any more. */
const NOT_EXPECTED = ['MESSAGE', 'ERROR', 'LOST', 'CLOSED'];

/** Starts the broker; resolves with its addresses, as it prints them. */
function startBroker() {
  const broker = spawn(BROKER, ['--tcp', '127.0.0.1:0', '--ws', '127.0.0.1:0', '--heart-beat', BEATS], { stdio: ['ignore', 'pipe', 'inherit'] });
  const found = {};
  return new Promise((resolve, reject) => {
    broker.on('error', reject);
    broker.on('exit', (code) => reject(new Error(`the broker ended with code ${code}`)));
    createInterface({ input: broker.stdout }).on('line', (line) => {
      const [, port] = line.match(/127\.0\.0\.1:(\d+)/) ?? [];
      if (!port) return;
      found[line.includes('ws://') ? 'ws' : 'tcp'] = { host: '127.0.0.1', port: Number(port) };
      if (found.tcp && found.ws) resolve({ ...found, stop: () => broker.kill('SIGKILL') });
    });
  });
}

/** One feature with one client: null, or what went wrong. */
async function tryOne(feature, client, tap, broker) {
  const peer = await Peer.connect(broker.tcp);
  const place = `interop/${client.make.id}/${FEATURES.indexOf(feature)}`;
  try {
    if (feature.connected !== false) await client.connect();
    await feature.run({ client, peer, tap, topic: `/topic/${place}`, queue: `/queue/${place}`, beats: BEATS });
    await client.disconnect();
    const left = NOT_EXPECTED.filter((command) => client.inbox.has(command));
    return left.length > 0 ? `${left.join(', ')} that nothing asked for` : null;
  } catch (error) {
    return error.message;
  } finally {
    client.inbox.frames.length = 0;
    peer.close();
  }
}

/** All features with one client. */
async function tryMake(make, broker) {
  const tap = await Tap.listen(broker[make.transport], make.transport);
  let client = new Client(make, tap);
  const cells = [];
  for (const feature of FEATURES) {
    const meant = !feature.only || feature.only.id === make.id || feature.only.version === make.version;
    const reason = meant ? make.without[feature.name] : feature.only.reason;
    if (reason) {
      cells.push({ state: 'n/a', reason });
      continue;
    }
    const wrong = await tryOne(feature, client, tap, broker);
    cells.push(wrong ? { state: 'FAILED', reason: wrong } : { state: 'passed' });
    if (wrong) {
      // Whatever state it is in: the next feature gets a new one.
      client.end();
      tap.mend();
      client = new Client(make, tap);
    }
  }
  client.end();
  tap.close();
  return cells;
}

/** The matrix in Markdown, as README.md has it, and the reasons under it. */
function matrix(results) {
  const notes = [];
  const note = (reason) => {
    if (!notes.includes(reason)) notes.push(reason);
    return notes.indexOf(reason) + 1;
  };
  const lines = [
    `| | ${results.map(({ make }) => make.name).join(' | ')} |`,
    `|---${'|---'.repeat(results.length)}|`,
    ...FEATURES.map((feature, row) => {
      const cells = results.map(({ cells: column }) => (column[row].state === 'n/a' ? `n/a (${note(column[row].reason)})` : column[row].state));
      return `| ${feature.name} | ${cells.join(' | ')} |`;
    }),
    '',
    ...notes.map((reason, index) => `${index + 1}. ${reason}`),
  ];
  return lines.join('\n');
}

/** The clients that were asked for by name must be there; with none named, those that are. */
function choose(names) {
  const unknown = names.filter((name) => !MAKES.some((make) => make.id.startsWith(name)));
  if (unknown.length > 0) throw new Error(`no client is called ${unknown.join(' or ')}: there are ${MAKES.map((make) => make.id).join(', ')}`);
  const chosen = [];
  for (const make of MAKES) {
    const named = names.some((name) => make.id.startsWith(name));
    if (names.length > 0 && !named) continue;
    const missing = make.missing();
    if (!missing) chosen.push(make);
    else if (named) throw new Error(`${make.name}: ${missing}`);
    else console.log(`not run: ${make.name}: ${missing}`);
  }
  return chosen;
}

async function main() {
  if (!existsSync(BROKER)) throw new Error(`${BROKER} is missing: cargo build --package broker --example open_broker`);
  const chosen = choose(process.argv.slice(2));
  await Promise.all(chosen.map((make) => make.prepare()));
  const broker = await startBroker();
  process.on('exit', broker.stop);
  const results = await Promise.all(chosen.map(async (make) => ({ make, cells: await tryMake(make, broker) })));
  console.log(matrix(results));
  const count = (state) => results.flatMap(({ cells }) => cells).filter((cell) => cell.state === state).length;
  for (const { make, cells } of results) {
    cells.forEach((cell, row) => {
      if (cell.state === 'FAILED') console.log(`FAILED: ${make.name}: ${FEATURES[row].name}: ${cell.reason}`);
    });
  }
  console.log(`\ninterop: ${count('passed')} passed, ${count('FAILED')} failed (${count('n/a')} not applicable)`);
  return count('FAILED') === 0 && count('passed') > 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
main().then((code) => process.exit(code), (error) => {
  console.error(`interop: ${error.message}`);
  process.exit(1);
});
