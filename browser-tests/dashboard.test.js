// What an operator and a technician do all day, in both languages, with scripts and without.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { onPage, startBrowser } from './browser.js';
import { layCable } from './cable.js';
import { PASSWORD, startDemo } from './demo.js';

// Devices that the demo's own scenario leaves alone.
const OPERATOR = {
  ko: {
    locale: 'ko-KR', kiosk: 'kiosk-t1-arr-2',
    words: { signIn: '로그인', acknowledge: '확인', unacknowledged: '미확인', paperOut: /용지/ },
  },
  en: {
    locale: 'en-GB', kiosk: 'kiosk-t1-dep-1',
    words: { signIn: 'Sign in', acknowledge: 'Acknowledge', unacknowledged: 'Unacknowledged', paperOut: /paper/i },
  },
};
const TECHNICIAN = {
  ko: { locale: 'ko-KR', gate: 'gate-t1-staff-1', words: { open: '열기', isOpen: '열림', isClosed: '닫힘' } },
  en: { locale: 'en-GB', gate: 'gate-t1-bus-1', words: { open: 'Open', isOpen: 'Open', isClosed: 'Closed' } },
};
// What a browser or a proxy may lack, and what the page then says that it lives on.
const TRANSPORTS = {
  'websocket': { says: 'WebSocket', prepare: () => {}, kiosk: 'kiosk-p1-b1-2', gate: 'gate-t1-kerb-in-1' },
  'xhr-streaming': { says: 'HTTP streaming', prepare: withoutWebSocket, kiosk: 'kiosk-p1-f1-1', gate: 'gate-t1-kerb-in-2' },
  'xhr-polling': { says: 'HTTP polling', prepare: behindBuffering, kiosk: 'kiosk-p2-f1-3', gate: 'gate-t1-kerb-out-1' },
};
const SHIFT_KIOSK = 'kiosk-p1-f1-2';
const SCRIPTLESS_KIOSK = 'kiosk-p2-f1-1';
// How long a token is good: each page outlives some of them.
const TOKEN_SECONDS = 30;
const TEST_LIMIT = { timeout: 120_000 };

let demo;
let browser;
let shift;

before(async () => {
  demo = await startDemo({ tokenSeconds: TOKEN_SECONDS });
  browser = await startBrowser();
  shift = await beginShift();
}, { timeout: 300_000 });

after(async () => {
  await browser?.close();
  if (demo) assert.equal(await demo.stop(), 0, `the demo did not end well:\n${demo.output}`);
}, { timeout: 90_000 });

async function signIn(page, name, path, url = demo.url) {
  await page.goto(`${url}/sign-in?next=${encodeURIComponent(path)}`);
  await page.fill('#name', name);
  await page.fill('#password', PASSWORD);
  await page.click('button.strong');
  await page.waitForURL(url + path);
}

/**
 * Two pages that stay open behind all other tests, longer than their tokens are good: one as it is, and one that gets no more
 * tokens. What they showed, and what they fetched, is noted with its time.
 */
async function beginShift() {
  const open = async (name) => {
    const context = await browser.newContext({ locale: 'en-GB' });
    const page = await context.newPage();
    const noted = { page, tokens: [], sockets: 0, states: [] };
    page.on('websocket', () => { noted.sockets += 1; });
    page.on('response', async (response) => {
      if (!response.url().endsWith('/login/token') || !response.ok()) return;
      noted.tokens.push({ at: Date.now(), ...await response.json() });
    });
    await page.exposeFunction('noteState', (state) => { noted.states.push({ state, at: Date.now() }); });
    await signIn(page, name, '/alarms');
    await becomeLive(page);
    await page.evaluate(() => new MutationObserver(() => window.noteState(document.body.dataset.connection))
      .observe(document.body, { attributeFilter: ['data-connection'] }));
    return noted;
  };
  const [served, forgotten] = [await open('operator'), await open('viewer')];
  await forgotten.page.route('**/login/token', (route) => route.abort());
  return { served, forgotten };
}

/** Resolves as soon as `holds` says so. */
async function until(holds, what) {
  for (const end = Date.now() + TEST_LIMIT.timeout; !holds(); ) {
    assert.ok(Date.now() < end, what);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
}

function withoutWebSocket(page) {
  return page.addInitScript(() => { delete window.WebSocket; });
}

/** As well: nothing comes out of a long answer before it ends. */
async function behindBuffering(page) {
  await withoutWebSocket(page);
  await page.route('**/xhr_streaming*', () => {});
}

/** Leaves a mark that a reload would wipe away. */
async function becomeLive(page) {
  await page.waitForSelector('body[data-connection=live]');
  await page.evaluate(() => { window.markedByTest = true; });
}

async function assertNotReloaded(page) {
  assert.equal(await page.evaluate(() => window.markedByTest), true, 'the page was loaded again');
}

/** The row of a device's alarm in the list. */
const alarmRow = (page, device, code) => page.locator('#alarm-list tr.alarm')
  .filter({ has: page.locator(`a[href="/devices/${device}"]`) })
  .filter({ has: page.locator('code', { hasText: code }) });

/** On the list of alarms: a fault appears, is acknowledged, and goes. */
async function acknowledgeAnAlarm(page, kiosk, words) {
  const row = alarmRow(page, kiosk, 'KSK-PAPER-OUT');
  assert.equal(await row.count(), 0, 'nothing is wrong yet');
  await demo.fault('POST', kiosk, 'paper_out');
  await row.waitFor();
  assert.match(await row.getAttribute('class'), /\bunacknowledged\b/);
  assert.match(await row.innerText(), words.paperOut);
  assert.match(await row.innerText(), new RegExp(words.unacknowledged));

  const button = row.locator('form.acknowledge button');
  assert.equal(await button.innerText(), words.acknowledge);
  await button.click();
  await row.and(page.locator('.acknowledged')).waitFor();
  assert.equal(await row.locator('form').count(), 0, 'acknowledged once is enough');
  assert.match(await row.locator('.by').innerText(), /\S/);

  await demo.fault('DELETE', kiosk, 'paper_out');
  await row.waitFor({ state: 'detached' });
}

/** On the gate's page: the button is pressed, and the gate is seen to open. */
async function openTheGate(page, gate, words) {
  const doing = page.locator(`#header-${gate} .doing b`);
  await doing.filter({ hasText: words.isClosed }).waitFor();
  assert.equal((await demo.truth(gate)).gate.status, 'closed');

  const open = page.locator('form.give').filter({ has: page.locator('input[name=name][value=open]') }).locator('button');
  assert.equal(await open.innerText(), words.open);
  await open.click();
  await doing.filter({ hasText: new RegExp(`^${words.isOpen}$`) }).waitFor();
  assert.equal((await demo.truth(gate)).gate.status, 'open', 'what the page says is what the gate does');
  await page.locator('.last-commands li[data-state=succeeded]').first().waitFor();
}

for (const [language, { locale, kiosk, words }] of Object.entries(OPERATOR)) {
  test(`an operator sees an alarm arrive and acknowledges it with one click (${language})`, TEST_LIMIT, () =>
    onPage(browser, { locale }, async (page) => {
      await page.goto(`${demo.url}/sign-in`);
      assert.equal(await page.getAttribute('html', 'lang'), language);
      assert.equal(await page.innerText('button.strong'), words.signIn);
      await signIn(page, 'operator', '/alarms');
      await becomeLive(page);

      await acknowledgeAnAlarm(page, kiosk, words);
      await assertNotReloaded(page);
    }));
}

for (const [language, { locale, gate, words }] of Object.entries(TECHNICIAN)) {
  test(`a technician opens a gate and sees it really open (${language})`, TEST_LIMIT, () =>
    onPage(browser, { locale }, async (page) => {
      await signIn(page, 'technician', `/devices/${gate}`);
      await becomeLive(page);
      await openTheGate(page, gate, words);
      await assertNotReloaded(page);
    }));
}

test('without scripts pages render, follow links and acknowledge by form', TEST_LIMIT, () =>
  onPage(browser, { locale: 'en-GB', javaScriptEnabled: false }, async (page) => {
    await signIn(page, 'operator', '/');
    await page.locator(`#device-${SCRIPTLESS_KIOSK}`).waitFor();
    await demo.fault('POST', SCRIPTLESS_KIOSK, 'card_down');

    await page.click('nav a[href="/alarms"]');
    const row = alarmRow(page, SCRIPTLESS_KIOSK, 'KSK-CARD-DOWN');
    // A person without scripts has the page's own refresh for this.
    while (await row.count() === 0) await page.reload();
    await row.locator('form.acknowledge button').click();
    await page.waitForURL(/\/alarms/);
    await page.locator('[data-notice]').waitFor();
    assert.match(await row.getAttribute('class'), /\backnowledged\b/);

    await row.locator(`a[href="/devices/${SCRIPTLESS_KIOSK}"]`).click();
    await page.locator(`#header-${SCRIPTLESS_KIOSK}`).waitFor();
    await demo.fault('DELETE', SCRIPTLESS_KIOSK, 'card_down');
  }));

for (const [name, { says, prepare, kiosk, gate }] of Object.entries(TRANSPORTS)) {
  const assertCarries = async (page) => {
    assert.equal(await page.getAttribute('#connection', 'data-transport'), name);
    assert.equal(await page.innerText('#connection i'), says);
    assert.match(await page.getAttribute('#connection', 'title'), /change/i, 'and the tooltip says what that means');
  };

  test(`a page is as live over ${name} as any other`, TEST_LIMIT, () =>
    onPage(browser, { locale: 'en-GB' }, async (page) => {
      await prepare(page);
      await signIn(page, 'technician', '/alarms');
      await becomeLive(page);
      await assertCarries(page);
      await acknowledgeAnAlarm(page, kiosk, OPERATOR.en.words);
      await assertNotReloaded(page);

      await page.goto(`${demo.url}/devices/${gate}`);
      await becomeLive(page);
      await assertCarries(page);
      await openTheGate(page, gate, TECHNICIAN.en.words);
      await assertNotReloaded(page);
    }));

  test(`what happened while the connection was lost is there when it is found again, over ${name}`, TEST_LIMIT, async () => {
    const cable = await layCable(demo.url);
    await onPage(browser, { locale: 'en-GB', expected: /ERR_|WebSocket connection to/ }, async (page) => {
      await prepare(page);
      await signIn(page, 'operator', '/alarms', cable.url);
      await becomeLive(page);
      await cable.pull();
      await page.waitForSelector('body[data-connection=lost]');
      await page.locator('#banner').filter({ hasText: 'later changes do not show' }).waitFor();
      assert.equal(await page.getAttribute('#connection', 'data-transport'), '', 'nothing carries it now');

      await demo.fault('POST', kiosk, 'card_down');
      await cable.mend();
      await becomeLive(page);
      await alarmRow(page, kiosk, 'KSK-CARD-DOWN').waitFor();
      await assertCarries(page);
      await assertNotReloaded(page);
      await demo.fault('DELETE', kiosk, 'card_down');
    }).finally(() => cable.pull());
  });
}

test('a page that had to wait for time-outs spares them the next one', TEST_LIMIT, () =>
  onPage(browser, { locale: 'en-GB' }, async (page) => {
    await behindBuffering(page);
    const streams = [];
    page.on('request', (request) => { if (request.url().includes('/xhr_streaming')) streams.push(request.url()); });
    await signIn(page, 'operator', '/');
    await becomeLive(page);
    assert.equal(streams.length, 1, 'it had to be tried');
    await page.click('nav a[href="/alarms"]');
    await page.waitForURL(`${demo.url}/alarms`);
    await becomeLive(page);
    assert.equal(streams.length, 1, 'it is known not to work');
    assert.equal(await page.getAttribute('#connection', 'data-transport'), 'xhr-polling');
  }));

test('whoever watches notices nothing of the end of a token', TEST_LIMIT, async () => {
  const { page, tokens, states } = shift.served;
  await until(() => tokens.length > 2, 'the token is renewed, and renewed again');
  assert.equal(tokens[0].expires_in, TOKEN_SECONDS);
  assert.ok(tokens.at(-1).at - tokens[0].at > TOKEN_SECONDS * 1000, 'the first token has ended');
  await acknowledgeAnAlarm(page, SHIFT_KIOSK, OPERATOR.en.words);
  await assertNotReloaded(page);
  assert.deepEqual(states, [], 'it was live all the time');
  assert.equal(shift.served.sockets, 1, 'on one connection');

  const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie, document.documentElement.outerHTML]));
  const cookies = JSON.stringify(await page.context().cookies());
  for (const { access_token: token } of tokens) {
    assert.ok(!kept.includes(token) && !cookies.includes(token), 'a token is kept in memory only');
  }
  await page.context().close();
});

test('a page that gets no more tokens is live until its last one ends, says so, and comes back', TEST_LIMIT, async () => {
  const { page, tokens, states } = shift.forgotten;
  await until(() => states.length > 0, 'the token ends');
  assert.equal(states[0].state, 'lost');
  const lived = (states[0].at - tokens[0].at) / 1000;
  assert.ok(lived > TOKEN_SECONDS - 2 && lived < TOKEN_SECONDS + 10, `it was live for ${lived} s`);
  assert.equal(tokens.length, 1);
  await page.unroute('**/login/token');
  await becomeLive(page);
  await assertNotReloaded(page);
  await page.context().close();
});
