// What an operator and a technician do all day, in both languages, with scripts and without.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { onPage, startBrowser } from './browser.js';
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
const SCRIPTLESS_KIOSK = 'kiosk-p2-f1-1';
const TEST_LIMIT = { timeout: 120_000 };

let demo;
let browser;

before(async () => {
  demo = await startDemo();
  browser = await startBrowser();
}, { timeout: 300_000 });

after(async () => {
  await browser?.close();
  if (demo) assert.equal(await demo.stop(), 0, `the demo did not end well:\n${demo.output}`);
}, { timeout: 90_000 });

async function signIn(page, name, path) {
  await page.goto(`${demo.url}/sign-in?next=${encodeURIComponent(path)}`);
  await page.fill('#name', name);
  await page.fill('#password', PASSWORD);
  await page.click('button.strong');
  await page.waitForURL(demo.url + path);
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

for (const [language, { locale, kiosk, words }] of Object.entries(OPERATOR)) {
  test(`an operator sees an alarm arrive and acknowledges it with one click (${language})`, TEST_LIMIT, () =>
    onPage(browser, { locale }, async (page) => {
      await page.goto(`${demo.url}/sign-in`);
      assert.equal(await page.getAttribute('html', 'lang'), language);
      assert.equal(await page.innerText('button.strong'), words.signIn);
      await signIn(page, 'operator', '/alarms');
      await becomeLive(page);

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
      await assertNotReloaded(page);
    }));
}

for (const [language, { locale, gate, words }] of Object.entries(TECHNICIAN)) {
  test(`a technician opens a gate and sees it really open (${language})`, TEST_LIMIT, () =>
    onPage(browser, { locale }, async (page) => {
      await signIn(page, 'technician', `/devices/${gate}`);
      await becomeLive(page);
      const doing = page.locator(`#header-${gate} .doing b`);
      await doing.filter({ hasText: words.isClosed }).waitFor();
      assert.equal((await demo.truth(gate)).gate.status, 'closed');

      const open = page.locator('form.give').filter({ has: page.locator('input[name=name][value=open]') }).locator('button');
      assert.equal(await open.innerText(), words.open);
      await open.click();
      await doing.filter({ hasText: new RegExp(`^${words.isOpen}$`) }).waitFor();
      assert.equal((await demo.truth(gate)).gate.status, 'open', 'what the page says is what the gate does');
      await page.locator('.last-commands li[data-state=succeeded]').first().waitFor();
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
