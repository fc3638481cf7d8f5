// Starts what is to be tried, puts every transport on every road, and prints the matrix. See README.md.

import { startBrowser } from '../browser.js';
import { missingNginx, startNginx } from './nginx.js';
import { startEcho, startPages, startSite } from './services.js';
import { SOCKET_IO, TRANSPORTS } from './transports.js';
import { tryEcho, trySocketIo, tryStomp } from './trials.js';

/** Cells at once: each is a browser's page, and waits more than it works. */
const CELLS_AT_ONCE = 4;

const SUITES = [
  { name: 'echo over SockJS', start: startEcho, rows: TRANSPORTS, attempt: tryEcho },
  { name: 'STOMP over SockJS', start: startSite, rows: TRANSPORTS, attempt: tryStomp },
  { name: 'Socket.IO', start: startSite, rows: SOCKET_IO, attempt: trySocketIo },
];

const ROADS = [
  { name: 'direct', missing: () => null, start: ({ port }) => ({ port, stop() {}, kill() {} }) },
  { name: 'nginx', missing: missingNginx, start: ({ port }) => startNginx(port) },
];

const ORIGINS = [{ id: 'same', name: 'same origin' }, { id: 'cross', name: 'other origin' }];

/** What `make test` runs: every transport where it should work without ado, and through a proxy those that one harms first. */
const isQuick = ({ suite, road, origin, row }) => suite === SUITES[0] && origin.id === 'same'
  && (road.name === 'direct' || ['websocket', 'xhr-streaming', 'htmlfile'].includes(row.name));

/** What runs now and must not outlive this process. */
const running = [];

async function started(starting) {
  const one = await starting;
  running.push(one);
  return one;
}

/** A service with what stands before it: started when the first suite asks, for all that do. Returns the port of each road as well. */
const services = new Map();
function serviceOf({ start }, pages) {
  if (!services.has(start)) {
    services.set(start, (async () => {
      const service = await started(start(pages));
      const ports = await Promise.all(ROADS.filter((road) => !road.missing()).map(async (road) => [road.name, (await started(road.start(service))).port]));
      return { service, ports: { blank: pages.port, ...Object.fromEntries(ports) } };
    })());
  }
  return services.get(start);
}

const columnsOf = () => ROADS.flatMap((road) => ORIGINS.map((origin) => ({ road, origin })));
const nameOf = ({ suite, road, origin, row }) => `${suite.name}, ${row.name}, ${origin.name}, ${road.name}`;

/** The cells of a suite that were asked for, row by row. */
function cellsOf(suite, wanted) {
  return suite.rows
    .flatMap((row) => columnsOf().map(({ road, origin }) => ({ suite, road, origin, row })))
    .filter(wanted);
}

/** One cell, on a page of its own: null, or what went wrong. A page that complains on its console has failed as well. */
async function tryCell({ suite, road, origin, row }, browser, service, ports) {
  const context = await browser.newContext();
  try {
    const page = await context.newPage();
    const problems = [];
    page.on('console', (message) => {
      // Browsers ask for it by themselves, and the echo services have none.
      const icon = message.location().url.endsWith('/favicon.ico');
      if (message.type() === 'error' && !icon) problems.push(message.text());
    });
    page.on('pageerror', (error) => problems.push(error.message));
    const own = `http://127.0.0.1:${ports[road.name]}`;
    // The same server by another name is another origin to a browser.
    const [home, base] = origin.id === 'same' ? [own + service.page, own] : [`http://127.0.0.1:${ports.blank}/`, own.replace('127.0.0.1', 'localhost')];
    await page.goto(home);
    const wrong = await suite.attempt(page, row, base, service);
    const complaint = problems.length > 0 ? `the page complained: ${[...new Set(problems)].join('; ')}` : null;
    return [wrong, complaint].filter(Boolean).join('; ') || null;
  } catch (error) {
    return error.message;
  } finally {
    await context.close();
  }
}

/** All cells of a suite, some at once; each gets its `state`, and a `reason` where it did not pass. */
async function trySuite(suite, cells, browser, pages) {
  for (const cell of cells) {
    const [never, missing] = [cell.row.not?.[cell.origin.id], cell.road.missing()];
    if (never) Object.assign(cell, { state: 'n/a', reason: never });
    else if (missing) Object.assign(cell, { state: 'not run', reason: missing });
  }
  const waiting = cells.filter((cell) => !cell.state);
  if (waiting.length === 0) return;
  const { service, ports } = await serviceOf(suite, pages);
  const work = async () => {
    for (let cell = waiting.shift(); cell; cell = waiting.shift()) {
      const reason = await tryCell(cell, browser, service, ports);
      Object.assign(cell, reason ? { state: 'FAILED', reason } : { state: 'passed' });
      console.log(reason ? `FAILED: ${nameOf(cell)}: ${reason}` : `passed: ${nameOf(cell)}`);
    }
  };
  await Promise.all(Array.from({ length: CELLS_AT_ONCE }, work));
}

/** A suite's table in Markdown, as README.md has it; `notes` collects the reasons that stand under all of them. */
function table(suite, cells, notes) {
  const note = (reason) => {
    if (!notes.includes(reason)) notes.push(reason);
    return notes.indexOf(reason) + 1;
  };
  const text = ({ state, reason } = { state: '' }) => (['n/a', 'not run'].includes(state) ? `${state} (${note(reason)})` : state);
  const columns = columnsOf();
  return [
    `| ${suite.name} | ${columns.map(({ road, origin }) => `${road.name}, ${origin.name}`).join(' | ')} |`,
    `|---${'|---'.repeat(columns.length)}|`,
    ...suite.rows.filter((row) => cells.some((cell) => cell.row === row)).map((row) => {
      const states = columns.map(({ road, origin }) => text(cells.find((cell) => cell.row === row && cell.road === road && cell.origin === origin)));
      return `| ${row.name} | ${states.join(' | ')} |`;
    }),
  ].join('\n');
}

async function main([first, ...rest]) {
  const quick = first === 'quick';
  const words = quick || !first ? rest : [first, ...rest];
  const wanted = (cell) => (!quick || isQuick(cell)) && (words.length === 0 || words.some((word) => nameOf(cell).includes(word)));
  const plan = SUITES.map((suite) => ({ suite, cells: cellsOf(suite, wanted) })).filter(({ cells }) => cells.length > 0);
  if (plan.length === 0) throw new Error(`no cell's name contains ${words.join(' or ')}`);
  const browser = await startBrowser();
  const pages = await startPages();
  for (const { suite, cells } of plan) await trySuite(suite, cells, browser, pages);
  await browser.close();
  pages.stop();
  // The last that was started first: a proxy before what stands behind it.
  while (running.length > 0) await running.pop().stop();

  const notes = [];
  for (const { suite, cells } of plan) console.log(`\n${table(suite, cells, notes)}`);
  if (notes.length > 0) console.log(`\n${notes.map((reason, index) => `${index + 1}. ${reason}`).join('\n')}`);
  const all = plan.flatMap(({ cells }) => cells);
  const count = (state) => all.filter((cell) => cell.state === state).length;
  for (const cell of all) if (cell.state === 'FAILED') console.log(`FAILED: ${nameOf(cell)}: ${cell.reason}`);
  console.log(`\ntransports: ${count('passed')} passed, ${count('FAILED')} failed (${count('n/a')} not applicable, ${count('not run')} not run)`);
  return count('FAILED') === 0 && count('passed') > 0 ? 0 : 1;
}

for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
process.on('exit', () => running.forEach((one) => one.kill()));
main(process.argv.slice(2)).then((code) => process.exit(code), (error) => {
  console.error(`transports: ${error.message}`);
  process.exit(1);
});
