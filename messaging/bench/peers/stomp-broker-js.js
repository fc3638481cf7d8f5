// stomp-broker-js on a free port, as its README starts it. Says where it listens.
'use strict';

const http = require('http');
const StompServer = require('stomp-broker-js');

const server = http.createServer();
new StompServer({ server, path: '/stomp' });
server.listen(0, '127.0.0.1', () => {
  console.log(`stomp-broker-js       ws://127.0.0.1:${server.address().port}/stomp`);
});
