// A headless Chromium, and pages that remember what went wrong on them.

import { accessSync, constants } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { chromium } from 'playwright-core';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome'];
const PATIENCE_MS = 30_000;

export async function startBrowser() {
  const flags = [
    '--disable-background-networking',
    '--disable-component-update',
    '--disable-quic',
    '--disable-sync',
    '--no-first-run',
  ];
  // Chromium's sandbox refuses to run as root, which CI is.
  if (process.getuid() === 0) flags.push('--no-sandbox');
  return chromium.launch({ executablePath: executable(), args: flags });
}

function executable() {
  if (process.env.CHROMIUM) return process.env.CHROMIUM;
  const directories = (process.env.PATH ?? '').split(delimiter);
  for (const path of NAMES.flatMap((name) => directories.map((directory) => join(directory, name)))) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next one.
    }
  }
  throw new Error(`none of ${NAMES.join(', ')} is on the PATH: run \`make setup\`, or set CHROMIUM`);
}

/**
 * Runs `look` on a page of its own. A failure leaves a screenshot; an error on the page's console, a script that threw or a
 * file that could not be loaded is a failure as well, but for those that match `expected`.
 */
export async function onPage(browser, { expected, ...options }, look) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const problems = [];
  const note = (problem) => { if (!expected?.test(problem)) problems.push(problem); };
  page.on('console', (message) => { if (message.type() === 'error') note(`console: ${message.text()}`); });
  page.on('pageerror', (error) => note(`script: ${error.message}`));
  page.on('response', (response) => {
    if (response.status() >= 400) note(`${response.status()}: ${response.url()}`);
  });
  try {
    await look(page);
    if (problems.length > 0) throw new Error(`the page had problems:\n${problems.join('\n')}`);
  } catch (error) {
    const picture = join(await mkdtemp(join(tmpdir(), 'landside-screenshot-')), 'page.png');
    await page.screenshot({ path: picture, fullPage: true }).catch(() => {});
    error.message += `\n(at ${page.url()}; screenshot: ${picture}${problems.map((problem) => `; ${problem}`).join('')})`;
    throw error;
  } finally {
    await context.close();
  }
}
