/* What keeps a page live: the stream of rendered parts, notices to look again, and the truth about the connection.
   ES5.

   States of the page (body[data-connection]): connecting, once after loading, while the page is fresh anyway;
   live; lost, from the moment that nothing comes until the stream has caught up. */
(function (landside) {
  "use strict";

  var body = document.body;
  var RETRIES = [1000, 2000, 4000, 8000]; /* Milliseconds, plus up to a quarter. */
  var PATIENCE = 3000;      /* Milliseconds that the first connection may take before the page counts as lost. */
  var PER_SECOND = 4;       /* How often a part is fetched again at most; alarms are exempt. */
  var CATCH_UP = 10000;     /* Milliseconds from CONNECTED until the subscriptions must be there. */
  var GAP_PAUSE = 100;      /* Milliseconds from a gap until the page is fetched again. */
  var GAP_LIMIT = 1000;     /* Milliseconds that it may take before the page counts as lost. */
  var BACK_SHOWN = 5000;    /* Milliseconds that the good news stays. */
  var ASLEEP = 15000;       /* A tick this late in sight means that the computer slept. */
  /* SockJS has more, for pages of other servers and for browsers too old for these pages. */
  var TRANSPORTS = ["websocket", "xhr-streaming", "xhr-polling"];
  var RENEW_AGAIN = 5000;   /* Milliseconds until a renewal that got no answer is tried again. */
  var SLOW = 1500;          /* A search for a transport this long is worth to be spared the next pages. */
  var REMEMBERED = 600000;  /* Milliseconds that they are; then a better one has its chance again. */

  var RENEWED = "renewed";  /* The receipt of a renewal. */

  var zones = (body.getAttribute("data-zones") || "").split(" ").filter(function (zone) { return zone !== ""; });
  var language = body.getAttribute("data-language");
  var resume = {};          /* Zone -> the last message seen, or where the page's state was read. */
  var link = null;
  var token = null;         /* In memory only. */
  var renewAt = 0;
  var attempt = 0;
  var opening = false;
  var subscribed = false;
  var transport = "";       /* What carries the stream, from CONNECTED until the connection is lost. */
  var retryTimer = null;
  var heardAt = Number(body.getAttribute("data-server-time"));
  var lostSince = null;     /* When the server was heard last, while the page is lost. */

  zones.forEach(function (zone) { resume[zone] = body.getAttribute("data-position"); });

  /* Telling people. */
  function showTransport(name) {
    var connection = document.getElementById("connection");
    connection.setAttribute("data-transport", name);
    connection.querySelector("i").textContent = name ? landside.word("via-" + name) : "";
    connection.title = name ? landside.word("about-" + name) : "";
  }

  function setState(state) {
    var before = body.getAttribute("data-connection");
    var banner = document.getElementById("banner");
    if (before === state) { return; }
    lostSince = state === "lost" ? heardAt : null;
    body.setAttribute("data-connection", state);
    document.querySelector("#connection b").textContent = landside.word(state);
    showTransport(state === "live" ? transport : "");
    if (state === "lost") {
      banner.className = "";
      banner.textContent = landside.word("lost-sentence").replace("{time}", landside.timeOfDay(heardAt, false));
      banner.hidden = false;
    } else if (state === "live" && before === "lost") {
      banner.className = "back";
      banner.textContent = landside.word("back-sentence");
      window.setTimeout(function () { if (banner.className === "back") { banner.hidden = true; } }, BACK_SHOWN);
    }
    landside.guardCommands();
  }

  /* Fetching. What arrives by the stream while a request is under way is applied again after its answer: the answer
     may be older than it, never newer than what comes after. */
  var arrived = [], counter = 0, underway = 0;

  function applyLive(html) {
    if (underway) { arrived.push({ number: counter += 1, html: html }); }
    landside.apply(html);
  }

  function get(url, done, missingToo) {
    var request = new XMLHttpRequest(), begin = counter;
    underway += 1;
    function end(text) {
      underway -= 1;
      done(text);
      if (text !== null) {
        arrived.forEach(function (part) { if (part.number > begin) { landside.apply(part.html); } });
      }
      if (!underway) { arrived = []; }
    }
    request.open("GET", url, true);
    request.timeout = 10000;
    request.setRequestHeader("x-requested-with", "XMLHttpRequest");
    request.onload = function () {
      if (request.status === 401 || request.status === 403) { window.location.reload(); return; }
      end(request.status === 200 || (missingToo && request.status === 404) ? request.responseText : null);
    };
    request.onerror = request.ontimeout = function () { end(null); };
    request.send();
  }

  /* Parts that depend on who looks. */
  var parts = {};           /* URL -> { wanted, underway, last, timer } */

  function isHeld(url) {
    var held = false;
    landside.each("[data-hold]", function (element) {
      if (element.getAttribute("data-refresh-url") === url && element.querySelector("details[open], input:focus, [data-sending=yes]")) { held = true; }
    });
    return held;
  }

  function look(url) {
    var part = parts[url], wait = part.last + 1000 / PER_SECOND - Date.now();
    if (!part.wanted || part.underway || part.timer || isHeld(url)) { return; }
    if (wait > 0 && !part.urgent) {
      part.timer = window.setTimeout(function () { part.timer = null; look(url); }, wait);
      return;
    }
    part.wanted = part.urgent = false;
    part.underway = true;
    part.last = Date.now();
    get(url, function (html) {
      part.underway = false;
      if (html !== null) {
        landside.apply(html);
      } else { /* What could not be fetched is still wanted, in a second. */
        part.wanted = true;
        part.last = Date.now() + 1000 - 1000 / PER_SECOND;
      }
      look(url);
    });
  }

  landside.changed = function (topics) {
    landside.each("[data-refresh-on]", function (element) {
      var url = element.getAttribute("data-refresh-url");
      element.getAttribute("data-refresh-on").split(" ").forEach(function (topic) {
        if (topics.indexOf(topic) < 0) { return; }
        parts[url] = parts[url] || { wanted: false, urgent: false, underway: false, last: 0, timer: null };
        parts[url].wanted = true;
        parts[url].urgent = parts[url].urgent || topic === "alarms";
        look(url);
      });
    });
  };

  landside.vouchedUntil = function () { return lostSince; };
  landside.conditionChanged = function (topic) { landside.changed([topic]); };

  /* The whole page again: after a gap in the stream. Until it is there, the page is not live. */
  var pageWanted = false, pageUnderway = false, pageTriedAt = 0;

  function refreshPage() {
    if (pageUnderway || !pageWanted) { return; }
    pageWanted = false;
    pageUnderway = true;
    pageTriedAt = Date.now();
    get(window.location.href, function (html) {
      var other = document.implementation.createHTMLDocument("");
      pageUnderway = false;
      if (html === null) { pageWanted = true; return; }
      other.documentElement.innerHTML = html;
      if (!landside.swap("main", other) || !landside.swap("strip", other)) { window.location.reload(); return; }
      settle();
    }, true); /* "Not found" is a page as well. */
  }

  /* Each zone may tell of a gap; one look after the last of them is enough. */
  function onGap() {
    pageWanted = true;
    window.setTimeout(refreshPage, GAP_PAUSE);
    window.setTimeout(function () { if (pageWanted || pageUnderway) { setState("lost"); } }, GAP_LIMIT);
  }

  /* The stream. */
  function onMessage(frame) {
    var zone = frame.headers.subscription, notice;
    heardAt = landside.now();
    if (frame.headers["message-id"]) { resume[zone] = frame.headers["message-id"]; }
    if (frame.headers["x-gap"] === "true") { onGap(); return; }
    if (/\/changed$/.test(frame.headers.destination)) {
      try { notice = JSON.parse(frame.body); } catch (ignored) { notice = {}; }
      landside.changed(notice.topics || []);
    } else {
      applyLive(frame.body);
    }
  }

  function retry() {
    var wait = RETRIES[Math.min(attempt, RETRIES.length - 1)];
    attempt += 1;
    window.clearTimeout(retryTimer);
    retryTimer = window.setTimeout(connect, wait * (1 + Math.random() / 4));
  }

  function onClosed() {
    var wasLive = body.getAttribute("data-connection") === "live";
    link = null;
    opening = subscribed = false;
    if (landside.leaving) { window.setTimeout(function () { if (!link && !opening) { onClosed(); } }, 3500); return; }
    if (wasLive) { attempt = 0; }
    transport = "";
    remember("");
    setState("lost");
    retry();
  }

  function subscribe() {
    var pending = zones.length, mine = link, stranded;
    stranded = window.setTimeout(function () { if (mine === link && pending > 0) { mine.close(); } }, CATCH_UP);
    if (!pending) { caughtUp(stranded); }
    zones.forEach(function (zone) {
      mine.subscribe(zone, "/topic/ui/" + language + "/zones/" + zone + "/**", { "x-resume-from": resume[zone], "receipt": "sub-" + zone });
    });
    return function () {
      pending -= 1;
      if (pending === 0) { caughtUp(stranded); }
    };
  }

  function caughtUp(stranded) {
    window.clearTimeout(stranded);
    subscribed = true;
    attempt = 0;
    settle();
  }

  /* Live is: every zone is subscribed, and the page is not waiting for itself. */
  function settle() {
    if (!link || !subscribed || pageWanted || pageUnderway) { return; }
    heardAt = landside.now();
    setState("live");
  }

  /* What a search found out, for this window's next pages. Without such a memory they search again. */
  function remember(text) {
    try { window.sessionStorage.setItem("landside-transport", text); } catch (ignored) { return; }
  }

  function remembered() {
    var name, until;
    try { name = window.sessionStorage.getItem("landside-transport") || ""; } catch (ignored) { name = ""; }
    until = Number(name.split(" ")[1]);
    name = name.split(" ")[0];
    return Date.now() < until && TRANSPORTS.indexOf(name) >= 0 ? name : "";
  }

  function open() {
    var known = transport || remembered();
    var since = Date.now();
    var onReceipt = function () { return; };
    opening = false;
    link = landside.connect("/sockjs", known ? [known] : TRANSPORTS, "Bearer " + token, {
      connected: function () {
        transport = link.transport();
        if (!known && transport !== TRANSPORTS[0] && Date.now() - since > SLOW) { remember(transport + " " + (Date.now() + REMEMBERED)); }
        onReceipt = subscribe();
      },
      message: onMessage,
      receipt: function (id) { if (id !== RENEWED) { onReceipt(); } },
      error: function () { token = null; }, /* Whatever it was, a fresh token is no harm. */
      closed: onClosed
    });
  }

  /* A token for this page; done(false) when there is none now. Whoever is not signed in any more goes to sign in. */
  function fetchToken(done) {
    var request = new XMLHttpRequest();
    request.open("POST", "/login/token", true);
    request.timeout = 8000;
    request.setRequestHeader("x-csrf-token", body.getAttribute("data-csrf"));
    request.setRequestHeader("x-requested-with", "XMLHttpRequest");
    request.onload = function () {
      var answer;
      if (request.status === 401 || request.status === 403) { window.location.reload(); return; }
      try { answer = JSON.parse(request.responseText); } catch (ignored) { answer = {}; }
      if (request.status !== 200 || !answer.access_token) { done(false); return; }
      token = answer.access_token;
      renewAt = Date.now() + answer.expires_in * 800; /* At four fifths of its life. */
      done(true);
    };
    request.onerror = request.ontimeout = function () { done(false); };
    request.send();
  }

  function connect() {
    if (opening || link) { return; }
    opening = true;
    if (token && Date.now() < renewAt) { open(); return; }
    fetchToken(function (got) { if (got) { open(); } else { onClosed(); } });
  }

  /* The connection stays, with everything that it subscribed to: nobody who watches sees anything of it. */
  function renew() {
    var mine = link;
    renewAt = Date.now() + RENEW_AGAIN;
    fetchToken(function (got) { if (got && mine === link) { mine.renew("Bearer " + token, RENEWED); } });
  }

  /* Once a second: is there still somebody? */
  var tickedAt = Date.now();

  window.setInterval(function () {
    var now = Date.now(), url;
    var slept = !document.hidden && now - tickedAt > ASLEEP;
    tickedAt = now;
    if (link) {
      if (slept) {
        link.close();
      } else {
        if (token && subscribed && now >= renewAt) { renew(); }
        heardAt = Math.max(heardAt, landside.now() - (now - link.received()));
      }
    }
    if (link && now - pageTriedAt > 2000) { refreshPage(); }
    for (url in parts) { if (parts.hasOwnProperty(url)) { look(url); } } /* Those that were held. */
  }, 1000);

  document.addEventListener("visibilitychange", function () {
    if (!document.hidden) { tickedAt = Date.now(); }
  });
  window.addEventListener("online", function () {
    if (!link && retryTimer) { attempt = 0; window.clearTimeout(retryTimer); connect(); }
  });

  if (!/^http/.test(window.location.protocol)) { return; } /* A page that was saved to a file. */
  if (!window.SockJS) { /* It did not load. */
    window.setInterval(function () { pageWanted = true; refreshPage(); }, 10000);
    return;
  }
  setState("connecting");
  window.setTimeout(function () {
    if (body.getAttribute("data-connection") === "connecting") { setState("lost"); }
  }, PATIENCE);
  connect();
}(window.landside = window.landside || {}));
