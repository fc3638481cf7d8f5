/* What a page does by itself: ages and clock, elements that are replaced, forms that answer in place.
   Everything works without this script; it only saves people the waiting. ES5. */
(function (landside) {
  "use strict";

  var body = document.body;
  var words = document.getElementById("words");
  var CONFIRM = 10000;      /* Milliseconds that a question stays open (select before operate). */
  var ANSWER = 15000;       /* Milliseconds that a form waits for the server. */
  var NEWS = 8000;          /* Milliseconds that good news stays. */
  var DOUBLE_CLICK = 350;   /* Milliseconds within which a second click belongs to the first. */
  var CLOCK_OFF = 5000;     /* Milliseconds from which a computer's clock is worth a word. */

  landside.word = function (name) { return words.getAttribute("data-" + name) || ""; };

  landside.each = function (selector, visit, root) {
    var found = (root || document).querySelectorAll(selector), index;
    for (index = 0; index < found.length; index += 1) { visit(found[index]); }
  };

  /* Clock: the server's, from what the page says of it. */
  var clockOffset = (function () {
    var timing = window.performance && window.performance.timing;
    var seen = timing && timing.responseStart ? timing.responseStart : Date.now();
    return Number(body.getAttribute("data-server-time")) - seen;
  }());

  landside.now = function () { return Date.now() + clockOffset; };

  function two(number) { return (number < 10 ? "0" : "") + number; }

  /* In the site's time zone, whatever this computer's is. */
  landside.timeOfDay = function (milliseconds, withDate) {
    var local = new Date(milliseconds + Number(body.getAttribute("data-offset")) * 1000);
    var time = two(local.getUTCHours()) + ":" + two(local.getUTCMinutes()) + ":" + two(local.getUTCSeconds());
    if (!withDate) { return time; }
    return local.getUTCFullYear() + "-" + two(local.getUTCMonth() + 1) + "-" + two(local.getUTCDate()) + " " + time;
  };

  /* The steps of Viewing::age_text. */
  function ageText(seconds) {
    var steps = [["seconds", 1, 60], ["minutes", 60, 60], ["hours", 3600, 24], ["days", 86400, Infinity]], index;
    for (index = 0; index < steps.length; index += 1) {
      if (seconds / steps[index][1] < steps[index][2]) {
        return landside.word("age-" + steps[index][0]).replace("{n}", Math.floor(seconds / steps[index][1]));
      }
    }
    return "";
  }

  function tick() {
    var now = landside.now();
    var clock = document.getElementById("clock");
    if (clock) { clock.textContent = landside.timeOfDay(now, true); }
    landside.each("time.age", function (age) {
      var text = ageText(Math.max(0, Math.floor((now - Number(age.getAttribute("data-time"))) / 1000)));
      if (age.textContent !== text) { age.textContent = text; }
    });
    /* What was vouched for until the connection was lost is as old as the loss. */
    landside.each("time.now", function (word) {
      var since = landside.vouchedUntil();
      var text = since === null ? landside.word("now") : ageText(Math.max(0, Math.floor((now - since) / 1000)));
      if (word.textContent !== text) { word.textContent = text; }
    });
  }

  /* Elements: whatever arrives replaces what has the same id. */
  function rootsOf(html) {
    var holder = document.createElement("div"), roots = [], parent, index;
    if (/^\s*<tr[\s>]/.test(html)) {
      holder.innerHTML = "<table><tbody>" + html + "</tbody></table>";
      parent = holder.querySelector("tbody");
    } else {
      holder.innerHTML = html;
      parent = holder;
    }
    for (index = 0; index < parent.childNodes.length; index += 1) {
      if (parent.childNodes[index].nodeType === 1) { roots.push(parent.childNodes[index]); }
    }
    return roots;
  }

  function isOnPage(html) {
    var ids = html.match(/\sid="[^"]+"/g) || [], index;
    for (index = 0; index < ids.length; index += 1) {
      if (document.getElementById(ids[index].slice(5, -1))) { return true; }
    }
    return false;
  }

  /* Keyboard users keep their place: the same kind of control at the same place, or the element itself. */
  function focusKeeper(old) {
    var controls = "a,button,input,summary", active = document.activeElement, place = -1, index, found;
    if (!active || !old.contains(active)) { return function () { return; }; }
    if (active === old) { return function (fresh) { fresh.focus(); }; }
    found = old.querySelectorAll(controls);
    for (index = 0; index < found.length; index += 1) { if (found[index] === active) { place = index; } }
    return function (fresh) {
      var next = fresh.querySelectorAll(controls)[place];
      if (next) { next.focus(); }
    };
  }

  function replaceElement(old, fresh) {
    var keep = focusKeeper(old);
    old.parentNode.replaceChild(fresh, old);
    keep(fresh);
    landside.replaced(old, fresh);
  }

  landside.apply = function (html) {
    var roots, index, old;
    if (!isOnPage(html)) { return; }
    roots = rootsOf(html);
    for (index = 0; index < roots.length; index += 1) {
      old = roots[index].id ? document.getElementById(roots[index].id) : null;
      if (old) { replaceElement(old, roots[index]); }
    }
  };

  landside.swap = function (id, other) {
    var old = document.getElementById(id), fresh = other.getElementById(id);
    if (!old || !fresh) { return false; }
    replaceElement(old, document.importNode(fresh, true));
    return true;
  };

  /* The strip: title, and new alarms to be heard by those who do not see. */
  var announced = {};

  function readStrip(isNew) {
    var strip = document.getElementById("strip"), count, lines = { polite: [], assertive: [] };
    if (!strip) { return; }
    count = strip.getAttribute("data-unacknowledged");
    document.title = (count === "0" ? "" : "(" + count + ") ") + document.title.replace(/^\(\d+\) /, "");
    landside.each("li", function (item) {
      var key = item.getAttribute("data-alarm") + "/" + item.getAttribute("data-occurrence");
      if (isNew && !announced[key]) {
        lines[item.getAttribute("data-priority") === "1" ? "assertive" : "polite"].push(item.querySelector(".what").textContent);
      }
      announced[key] = true;
    }, strip);
    if (lines.polite.length) { document.getElementById("announce-polite").textContent = lines.polite.join(". "); }
    if (lines.assertive.length) { document.getElementById("announce-assertive").textContent = lines.assertive.join(". "); }
  }

  /* Overwritten parts come by here; live.js listens for conditions that change what may be commanded. */
  landside.replaced = function (old, fresh) {
    if (fresh.id === "strip" || fresh.querySelector("#strip")) { readStrip(true); }
    landside.guardCommands();
    if (landside.conditionChanged && old.getAttribute("data-condition") !== fresh.getAttribute("data-condition") && fresh.getAttribute("data-panel")) {
      landside.conditionChanged(fresh.getAttribute("data-panel"));
    }
  };

  landside.guardCommands = function () {
    var lost = body.getAttribute("data-connection") === "lost";
    landside.each("fieldset[data-live-only]", function (fieldset) {
      fieldset.disabled = lost;
      fieldset.title = lost ? landside.word("blocked-lost") : "";
    });
    landside.each("summary.command", function (summary) {
      if (lost) { summary.setAttribute("data-blocked", "yes"); } else { summary.removeAttribute("data-blocked"); }
    });
  };

  /* Forms: sent in place; the answer is one sentence. */
  function encodeForm(form) {
    var pairs = [], index, field;
    for (index = 0; index < form.elements.length; index += 1) {
      field = form.elements[index];
      if (field.name && !field.disabled) { pairs.push(encodeURIComponent(field.name) + "=" + encodeURIComponent(field.value)); }
    }
    return pairs.join("&");
  }

  function say(form, html, text) {
    var place = document.getElementById(form.getAttribute("data-outcome")), line;
    if (!place) { return; }
    if (html) {
      place.innerHTML = html;
      line = place.firstElementChild;
      /* Good news passes; a refusal stays until the next try. */
      if (line.className === "notice") {
        window.setTimeout(function () { if (line.parentNode === place) { place.removeChild(line); } }, NEWS);
      }
      return;
    }
    line = document.createElement("p");
    line.className = "notice refusal";
    line.textContent = text;
    place.innerHTML = "";
    place.appendChild(line);
  }

  function setSending(form, sending) {
    form.setAttribute("data-sending", sending ? "yes" : "no");
    landside.each("button", function (button) {
      button.disabled = sending;
      if (sending) { button.setAttribute("data-text", button.textContent); button.textContent = landside.word("sending"); }
      else if (button.getAttribute("data-text")) { button.textContent = button.getAttribute("data-text"); }
    }, form);
  }

  function unfold(form) {
    if (form.parentNode && form.parentNode.nodeName === "DETAILS") { form.parentNode.removeAttribute("open"); }
  }

  function send(form) {
    var request = new XMLHttpRequest();
    var data = encodeForm(form);
    request.open("POST", form.action, true);
    request.timeout = ANSWER;
    request.setRequestHeader("content-type", "application/x-www-form-urlencoded");
    request.setRequestHeader("x-csrf-token", body.getAttribute("data-csrf"));
    request.setRequestHeader("x-requested-with", "XMLHttpRequest");
    setSending(form, true);
    request.onload = function () {
      setSending(form, false);
      if (request.status === 401) { window.location.reload(); return; }
      if (request.responseText.indexOf("data-notice=") > 0) { say(form, request.responseText); } else { say(form, "", landside.word("outcome-unsure")); }
      /* Whatever the server answered, it will not answer this key differently: the panel comes again with a new one. */
      if (request.status < 500) {
        unfold(form);
        landside.changed([form.getAttribute("data-post")]);
      }
    };
    /* Nobody knows whether it arrived. The form keeps its key: sent again, it is still the same command. */
    request.onerror = request.ontimeout = function () {
      if (landside.leaving) { return; }
      setSending(form, false);
      say(form, "", landside.word("outcome-unsure"));
    };
    request.send(data);
  }

  /* After an acknowledgement the next alarm may slide under the pointer: a double click must not acknowledge it. */
  var acknowledgedAt = 0;

  document.addEventListener("submit", function (event) {
    var form = event.target, now = Date.now();
    if (!form.getAttribute("data-post")) { return; }
    event.preventDefault();
    if (form.getAttribute("data-sending") === "yes") { return; }
    if (form.getAttribute("data-post") === "alarms") {
      if (now - acknowledgedAt < DOUBLE_CLICK) { return; }
      acknowledgedAt = now;
    }
    send(form);
  });

  /* Questions: one open at a time, and not for ever. */
  var asked = null, askedAt = 0;

  function closeQuestion() {
    if (asked) { asked.removeAttribute("open"); }
    asked = null;
  }

  document.addEventListener("toggle", function (event) {
    if (event.target.className !== "ask") { return; }
    if (event.target.hasAttribute("open")) {
      if (asked && asked !== event.target) { closeQuestion(); }
      asked = event.target;
      askedAt = Date.now();
    } else if (asked === event.target) {
      asked = null;
    }
  }, true);
  document.addEventListener("input", function () { askedAt = Date.now(); });
  document.addEventListener("click", function (event) {
    var summary = event.target;
    while (summary && summary !== body && summary.nodeName !== "SUMMARY") { summary = summary.parentNode; }
    if (!summary || summary === body || !summary.parentNode) { return; }
    if (summary.getAttribute("data-blocked")) { event.preventDefault(); return; }
    if (!("open" in summary.parentNode)) { /* Browsers that do not know <details>. */
      if (summary.parentNode.hasAttribute("open")) { summary.parentNode.removeAttribute("open"); } else { summary.parentNode.setAttribute("open", ""); }
    }
  });

  window.setInterval(function () {
    tick();
    if (asked && Date.now() - askedAt > CONFIRM && !asked.querySelector("[data-sending=yes]")) { closeQuestion(); }
  }, 1000);

  /* Browsers cut connections before they show the next page: that is no loss to speak of. */
  landside.leaving = false;
  window.addEventListener("beforeunload", function () {
    landside.leaving = true;
    window.setTimeout(function () { landside.leaving = false; }, 3000);
  });

  /* A page out of the history is the past. */
  window.addEventListener("pageshow", function (event) { if (event.persisted) { window.location.reload(); } });

  /* What became of a form is told once, not after each reload. */
  if (/[?&]notice=/.test(window.location.search) && window.history.replaceState) {
    window.history.replaceState(null, "", window.location.pathname + window.location.search.replace(/([?&])notice=[^&]*&?/, "$1").replace(/[?&]$/, ""));
  }

  /* live.js knows better. */
  landside.changed = function () { return; };
  landside.vouchedUntil = function () { return null; };
  if (Math.abs(clockOffset) > CLOCK_OFF) {
    (function (warning) {
      warning.textContent = landside.word("clock-wrong").replace("{seconds}", Math.round(Math.abs(clockOffset) / 1000));
      warning.hidden = false;
    }(document.getElementById("clock-warning")));
  }
  if (!("open" in document.createElement("details"))) { document.documentElement.className += " no-details"; }
  readStrip(false);
  tick();
}(window.landside = window.landside || {}));
