// What is tried: the echo services of the SockJS library, and the whole product as its demo.

import { spawn } from 'node:child_process';
import { createServer } from 'node:http';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { PASSWORD, startDemo } from '../demo.js';
import { SOCKJS } from './clients.js';

/** Another program that says where it listens in the same words can be tried instead. */
const ECHO = process.env.PROTOCOL_SERVER ?? fileURLToPath(new URL('../../target/debug/examples/protocol_server', import.meta.url));

/** Any device will do: each says several times a minute what was read from it. */
const DEVICE = 'kiosk-t1-arr-2';

/** A server of blank pages on another origin than whatever they connect to, and of the client for hidden frames. */
export async function startPages() {
  const server = createServer((request, response) => {
    const [type, content] = request.url === '/sockjs.js' ? ['text/javascript', SOCKJS] : ['text/html', '<!DOCTYPE html><title>blank</title>'];
    response.setHeader('content-type', type).end(content);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { port: server.address().port, stop: () => server.close() };
}

/** The plain echo services. */
export async function startEcho(pages) {
  const words = ['--listen', '127.0.0.1:0', '--client-url', `http://127.0.0.1:${pages.port}/sockjs.js`];
  const child = spawn(ECHO, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  const port = await new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new Error(`${error.message}: cargo build --package sockjs --example protocol_server`)));
    child.on('exit', (code) => reject(new Error(`${ECHO} ended with code ${code}`)));
    createInterface({ input: child.stdout }).on('line', (line) => {
      const [, found] = line.match(/^listening on 127\.0\.0\.1:(\d+)$/) ?? [];
      if (found) resolve(Number(found));
    });
  });
  return {
    port,
    page: '/echo',
    kill: () => child.kill('SIGKILL'),
    stop: () => { child.kill('SIGKILL'); return ended; },
  };
}

/** The product, with a token for the demo's program. */
export async function startSite(pages) {
  const demo = await startDemo({ origins: [`http://127.0.0.1:${pages.port}`] });
  const form = new URLSearchParams({ grant_type: 'client_credentials', client_id: 'demo-program', client_secret: PASSWORD });
  const answer = await fetch(`${demo.url}/oauth/token`, { method: 'POST', body: form });
  if (!answer.ok) throw new Error(`no token: ${answer.status} ${await answer.text()}`);
  const { access_token: token } = await answer.json();
  return {
    port: Number(new URL(demo.url).port),
    // A page of the product, with its policy of what a page may do.
    page: '/sign-in',
    token,
    device: DEVICE,
    kill: () => demo.child.kill('SIGKILL'),
    stop: () => demo.stop(),
  };
}
