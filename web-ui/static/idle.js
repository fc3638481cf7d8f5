/* A console at which nobody does anything locks its controls; alarms and live state go on. The server decides: this
   script only tells it when somebody is there, asks it when the time is over, and shows what it said. ES5. */
(function (landside) {
  "use strict";

  var body = document.body;
  var allowed = Number(body.getAttribute("data-idle-seconds")) * 1000;
  var TELL = Math.min(30000, allowed / 4);  /* Milliseconds between two words that somebody is there. */
  var until = Date.now() + allowed;
  var toldAt = Date.now();
  var underway = false;
  var KEY = "landside-unlocked";

  function isLocked() { return body.getAttribute("data-locked") === "yes"; }

  function show(locked) {
    var bar = document.getElementById("lock"), box;
    if (locked === isLocked()) { return; }
    body.setAttribute("data-locked", locked ? "yes" : "no");
    if (bar) { bar.hidden = !locked; }
    landside.changed(["alarms"]);
    landside.each("section.commands[data-refresh-on]", function (panel) {
      landside.each("details[open]", function (open) { open.removeAttribute("open"); }, panel);
      landside.changed([panel.getAttribute("data-refresh-on")]);
    });
    box = document.getElementById("unlock-password");
    if (box) { box.value = ""; }
  }

  /* Whether somebody is there, and what the server makes of it. Other windows of the same login count as well. */
  function ask(active) {
    var request = new XMLHttpRequest();
    if (underway) { return; }
    underway = true;
    toldAt = Date.now();
    request.open("POST", "/login/active", true);
    request.timeout = 8000;
    request.setRequestHeader("content-type", "application/x-www-form-urlencoded");
    request.setRequestHeader("x-csrf-token", body.getAttribute("data-csrf"));
    request.setRequestHeader("x-requested-with", "XMLHttpRequest");
    request.onload = function () {
      var answer;
      underway = false;
      if (request.status === 401) { window.location.reload(); return; }
      try { answer = JSON.parse(request.responseText); } catch (ignored) { return; }
      if (request.status !== 200) { return; }
      until = Date.now() + answer.left * 1000;
      show(answer.locked);
    };
    request.onerror = request.ontimeout = function () { underway = false; };
    request.send("active=" + (active ? "yes" : "no"));
  }

  function somebodyIsThere() {
    if (!isLocked() && Date.now() - toldAt >= TELL) { ask(true); }
  }

  if (!allowed) { return; }
  ["mousedown", "mousemove", "keydown", "touchstart", "wheel"].forEach(function (name) {
    document.addEventListener(name, somebodyIsThere, true);
  });

  window.setInterval(function () {
    if (!isLocked() && Date.now() >= until && Date.now() - toldAt >= 1000) { ask(false); }
  }, 1000);

  /* Unlocked in one window is unlocked in all. */
  window.addEventListener("storage", function (event) {
    if (event.key === KEY) { ask(false); }
  });
  window.addEventListener("focus", function () { if (isLocked()) { ask(false); } });
  if (document.querySelector("[data-notice=unlocked]")) {
    try { window.localStorage.setItem(KEY, String(Date.now())); } catch (ignored) { return; }
  }
}(window.landside = window.landside || {}));
