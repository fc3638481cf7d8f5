/* STOMP 1.2 over SockJS: as much of a client as a page needs. ES5, for browsers of any age.
   One connection per call of landside.connect; it never reconnects by itself. */
(function (landside) {
  "use strict";

  var HEART_BEAT = 2000;    /* Milliseconds; offered both ways. The other end may want it slower. */
  var INTERVALS = 3;        /* So many agreed intervals without a byte: the other end is gone. */
  var SEARCH = 60000;       /* Until a transport works; SockJS gives up each of them much earlier by itself. */
  var TRIAL = 2000;         /* So long at least a transport may try: a busy moment shall not cost a page its WebSocket. */
  var HANDSHAKE = 10000;    /* From there to CONNECTED. */
  var TICK = 1000;

  var ESCAPES = { "\\": "\\\\", "\r": "\\r", "\n": "\\n", ":": "\\c" };
  var UNESCAPES = { "\\\\": "\\", "\\r": "\r", "\\n": "\n", "\\c": ":" };

  function escape(text) {
    return String(text).replace(/[\\\r\n:]/g, function (character) { return ESCAPES[character]; });
  }

  function unescape(text) {
    return text.replace(/\\[\\rnc]/g, function (pair) { return UNESCAPES[pair]; });
  }

  /* CONNECT and CONNECTED are not escaped (STOMP 1.2, Value Encoding). */
  function encode(command, headers) {
    var lines = [command], name;
    for (name in headers) {
      if (headers.hasOwnProperty(name)) {
        lines.push(command === "CONNECT" ? name + ":" + headers[name] : escape(name) + ":" + escape(headers[name]));
      }
    }
    return lines.join("\n") + "\n\n\0";
  }

  /* Bodies here are text without NUL, so that NUL alone ends a frame. */
  function decode(text) {
    var end = text.search(/\r?\n\r?\n/);
    var head = (end < 0 ? text : text.slice(0, end)).split(/\r?\n/);
    var frame = { command: head[0], headers: {}, body: end < 0 ? "" : text.slice(end).replace(/^\r?\n\r?\n/, "") };
    var index, colon, name;
    for (index = 1; index < head.length; index += 1) {
      colon = head[index].indexOf(":");
      if (colon > 0) {
        name = head[index].slice(0, colon);
        if (frame.command !== "CONNECTED") { name = unescape(name); }
        if (!frame.headers.hasOwnProperty(name)) { /* The first one wins. */
          frame.headers[name] = frame.command === "CONNECTED" ? head[index].slice(colon + 1) : unescape(head[index].slice(colon + 1));
        }
      }
    }
    return frame;
  }

  /* 128 bits: whoever guessed the id of a session could read along over HTTP. */
  function sessionId() {
    var source = window.crypto || window.msCrypto, bytes = [], id = "", index;
    if (source && source.getRandomValues) { bytes = source.getRandomValues(new Uint8Array(16)); }
    for (index = 0; index < 16; index += 1) {
      id += (256 + (bytes.length ? bytes[index] : Math.floor(Math.random() * 256))).toString(16).slice(1);
    }
    return id;
  }

  /* transports: what may be tried, in SockJS's own order.
     on: { connected(), message(frame), receipt(id), error(frame), closed() }. closed comes once, and last. */
  landside.connect = function (url, transports, authorization, on) {
    var socket = new window.SockJS(url, null, { transports: transports, sessionId: sessionId, timeout: TRIAL });
    var transport = "";     /* The one that works. */
    var opened = Date.now();
    var received = 0;       /* Nothing yet. */
    var sent = opened;
    var sendEvery = 0;      /* As agreed; 0 for never. */
    var hearEvery = 0;
    var beatAt = opened;
    var connected = false;
    var over = false;
    var timer;

    function finish() {
      if (over) { return; }
      over = true;
      window.clearInterval(timer);
      socket.close();
      on.closed();
    }

    function write(text) {
      if (socket.readyState === 1) {
        sent = Date.now();
        socket.send(text);
      }
    }

    function agreed(promised) {
      return Number(promised) ? Math.max(HEART_BEAT, Number(promised)) : 0;
    }

    function beat() {
      /* Time that this page slept through is no silence of the other end: what it sent meanwhile still waits. */
      var now = Date.now(), slept = Math.max(0, now - beatAt - TICK);
      var silent = connected && hearEvery && now - received > INTERVALS * hearEvery + slept;
      beatAt = now;
      if (silent || (!connected && now - opened > (transport ? HANDSHAKE : SEARCH) + slept)) { finish(); return; }
      if (connected && sendEvery && now - sent >= sendEvery - TICK) { write("\n"); }
    }

    function take(text) {
      var frame, beats;
      text = text.replace(/^[\r\n]+/, "");
      if (text === "") { return; }
      frame = decode(text);
      if (frame.command === "CONNECTED") {
        beats = (frame.headers["heart-beat"] || "0,0").split(",");
        hearEvery = agreed(beats[0]);
        sendEvery = agreed(beats[1]);
        connected = true;
        on.connected();
      } else if (frame.command === "MESSAGE") {
        on.message(frame);
      } else if (frame.command === "RECEIPT") {
        on.receipt(frame.headers["receipt-id"]);
      } else if (frame.command === "ERROR") {
        on.error(frame);
        finish();
      }
    }

    socket.onopen = function () {
      transport = socket.transport;
      opened = Date.now();
      write(encode("CONNECT", {
        "accept-version": "1.2",
        "host": window.location.hostname,
        "heart-beat": HEART_BEAT + "," + HEART_BEAT,
        "Authorization": authorization
      }));
    };
    socket.onmessage = function (event) {
      var parts = event.data.split("\0"), index;
      received = Date.now();
      for (index = 0; index < parts.length && !over; index += 1) { take(parts[index]); }
      if (!over) { beat(); } /* Timers of hidden pages are slowed down, messages are not. */
    };
    socket.onclose = finish;
    timer = window.setInterval(beat, TICK);

    return {
      subscribe: function (id, destination, headers) {
        var all = { id: id, destination: destination, ack: "auto" }, name;
        for (name in headers) { if (headers.hasOwnProperty(name)) { all[name] = headers[name]; } }
        write(encode("SUBSCRIBE", all));
      },
      /* A new token for this connection; receipt(id) says that it was taken. */
      renew: function (newAuthorization, id) {
        write(encode("SEND", { destination: "/app/auth", receipt: id, "Authorization": newAuthorization }));
      },
      received: function () { return received; },
      transport: function () { return transport; },
      close: finish
    };
  };
}(window.landside = window.landside || {}));
