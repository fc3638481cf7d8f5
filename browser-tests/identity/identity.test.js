// Sign-in and tokens of a real OpenID Connect provider, seen from outside.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { onPage, startBrowser } from '../browser.js';
import { claims, ofPerson, ofProgram } from './tokens.js';
import { api, AUDIENCE, choosePorts, eventually, PASSWORD, Person, startProvider, startServer, stomp } from './world.js';

let ports;
let provider;
let server;

/** The provider goes, and another one comes in its place. */
async function replaceProvider(options) {
  await provider.stop();
  provider = await startProvider(ports, options);
}

before(async () => {
  ports = await choosePorts();
  provider = await startProvider(ports);
  server = await startServer(ports);
});

after(async () => {
  await server?.stop();
  await provider?.stop();
});

/** The token that a page of somebody who is signed in gets. */
async function pageToken(person) {
  const { text } = await person.follow(`${server.url}/`);
  const csrf = /name="csrf" value="([^"]+)"/.exec(text)[1];
  const answer = await person.request(`${server.url}/login/token`, { method: 'POST', headers: { 'x-csrf-token': csrf } });
  return (await answer.json()).access_token;
}

test('a person of the provider signs in, and has the role and the zones of their groups', async () => {
  const person = new Person();
  const landed = await person.signIn(server, 'id-omar', '/alarms?zone=p1');
  assert.equal(landed.status, 200);
  assert.equal(landed.url, `${server.url}/alarms?zone=p1`);
  const token = claims(await pageToken(person));
  assert.deepEqual([token.sub, token.name, token.roles, token.zones], ['omar@airport.example', 'Omar O.', ['operator'], ['p1']]);
});

test('whoever has no role, whose name is taken, or who cancels, reads why, and is not signed in', async () => {
  for (const [sub, words] of [
    ['id-guest', 'no role or no zone here'],
    ['id-thief', 'somebody else&#39;s'],
    ['cancel', 'cancelled or refused'],
  ]) {
    const person = new Person();
    const landed = await person.signIn(server, sub);
    assert.equal(landed.status, 403, sub);
    assert.ok(landed.text.includes(words), `${sub}: ${landed.text}`);
    assert.equal((await person.follow(`${server.url}/`)).url, `${server.url}/sign-in`);
  }
});

test('what comes back counts once, and in the browser that went', async () => {
  const person = new Person();
  await person.signIn(server, 'id-omar');
  const back = person.visited.find((url) => url.startsWith(`${server.url}/sign-in/external/return`));
  const again = await person.request(back);
  assert.equal(again.status, 403);
  assert.match(await again.text(), /cannot be matched with this browser/);

  const victim = new Person();
  const attacker = new Person();
  const stop = (url) => url.startsWith(`${server.url}/sign-in/external/return`);
  const asked = await attacker.follow(`${server.url}/sign-in/external`);
  const form = { method: 'POST', body: new URLSearchParams({ login: 'id-omar' }) };
  const sent = await attacker.follow(asked.url, stop, form);
  await victim.follow(`${server.url}/sign-in/external`);
  assert.equal((await victim.request(sent.url)).status, 403);
  assert.equal((await attacker.request(sent.url)).status, 403, 'tried once is used up');
});

test('nobody is led to another site', async () => {
  const landed = await new Person().signIn(server, 'id-omar', '//evil.example/');
  assert.equal(landed.url, `${server.url}/`);
});

test('tokens for the API are good on it and on STOMP, and others are not', async () => {
  const { access_token: token, id_token: idToken } = await ofPerson(ports, 'id-omar', AUDIENCE);
  assert.equal((await api(server, token)).status, 200);
  assert.match(await stomp(ports, token), /^CONNECTED/);
  const program = await ofProgram(ports, AUDIENCE);
  assert.equal((await api(server, program)).status, 200);
  assert.match(await stomp(ports, program), /^CONNECTED/);

  const foreign = await ofProgram(ports, 'https://other.example/api');
  const guest = (await ofPerson(ports, 'id-guest', AUDIENCE)).access_token;
  const thief = (await ofPerson(ports, 'id-thief', AUDIENCE)).access_token;
  const opaque = (await ofPerson(ports, 'id-omar')).access_token;
  for (const [name, bad] of Object.entries({ foreign, idToken, guest, thief, opaque })) {
    assert.equal((await api(server, bad)).status, 401, name);
    assert.match(await stomp(ports, bad), /^ERROR\n[^]*unauthenticated/, name);
  }
});

test('a browser signs in by the button', async () => {
  const browser = await startBrowser();
  try {
    await onPage(browser, { locale: 'en' }, async (page) => {
      await page.goto(`${server.url}/sign-in?next=/alarms`);
      await page.click('#external');
      await page.fill('input[name=login]', 'id-mfa');
      await page.click('button');
      await page.waitForURL(`${server.url}/alarms`);
      await page.getByText('Mia M.').first().waitFor();
      // As at a locked console: the provider asks again, though it knows who is there.
      for (const [login, notice] of [['id-omar', 'not-proved'], ['id-mfa', 'unlocked']]) {
        await page.goto(`${server.url}/login/prove?next=/alarms`);
        await page.fill('input[name=login]', login);
        await page.click('button');
        await page.waitForURL(`${server.url}/alarms?notice=${notice}`);
      }
    });
  } finally {
    await browser.close();
  }
});

test('keys rotate: the new ones count soon, and the old ones no more', async () => {
  const old = await ofProgram(ports, AUDIENCE);
  assert.equal((await api(server, old)).status, 200);
  await replaceProvider({ algorithm: 'RS256', key: 'two' });
  const token = await ofProgram(ports, AUDIENCE);
  await eventually(async () => (await api(server, token)).status, (status) => status === 200);
  assert.equal((await api(server, old)).status, 401);
  assert.equal((await new Person().signIn(server, 'id-omar')).status, 200);
});

test('a clock that is off by less than a minute does no harm, one by ten minutes is refused', async () => {
  for (const [clockOffset, status] of [[45, 200], [-45, 200], [600, 401], [-600, 401]]) {
    await replaceProvider({ key: `clock ${clockOffset}`, clockOffset });
    const known = (got) => got.status === status && !/does not have/.test(got.body.detail ?? '');
    const token = await ofProgram(ports, AUDIENCE);
    await eventually(() => api(server, token), known);
    const landed = await new Person().signIn(server, 'id-omar');
    assert.equal(landed.status, status === 200 ? 200 : 403, `signing in with ${clockOffset} s`);
  }
  await replaceProvider({ key: 'right again' });
});

test('while the provider is away, people here sign in, and tokens with known keys stay good', async () => {
  const token = await ofProgram(ports, AUDIENCE);
  await eventually(async () => (await api(server, token)).status, (status) => status === 200);
  await provider.stop();
  assert.equal((await api(server, token)).status, 200);
  const away = await eventually(
    async () => { const page = await new Person().follow(`${server.url}/sign-in/external`, (url) => !url.startsWith(server.url)); return page; },
    (page) => page.status === 503,
  );
  assert.match(away.text, /external sign-in service does not answer/);
  const ada = new Person();
  const form = new URLSearchParams({ name: 'ada', password: PASSWORD });
  const landed = await ada.follow(`${server.url}/sign-in`, undefined, { method: 'POST', body: form });
  assert.equal(landed.url, `${server.url}/`);
  assert.equal(landed.status, 200);
  provider = await startProvider(ports, { key: 'back' });
  await eventually(async () => (await new Person().signIn(server, 'id-omar')).status, (status) => status === 200);
});

test('nothing secret is in the log', () => {
  assert.doesNotMatch(server.output(), /eyJ|a secret: of|a%20secret|code_verifier|[?&]code=/);
});
