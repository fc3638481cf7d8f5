// The echo server of npm's sockjs on a free port, as its README starts it, but silent. Says where it listens.
'use strict';

const http = require('http');
const sockjs = require('sockjs');

const echo = sockjs.createServer({ log() {} });
echo.on('connection', (connection) => {
  connection.on('data', (message) => connection.write(message));
});
// Idle connections live longer than the 5 s of Node, so that a machine that is busy elsewhere costs it no session.
const server = http.createServer({ keepAliveTimeout: 60_000 });
echo.installHandlers(server, { prefix: '/echo' });
// And more of them may wait to be accepted than the 511 of Node, for the same reason.
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => {
  console.log(`listening on 127.0.0.1:${server.address().port}`);
});
