// The operators' page: watches the regions of the view that is open, and does what a button's `data-call` says.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const lang = root.dataset.lang;
  const strings = window.colloquyStrings[lang];
  const EVERY_MS = { now: 1000, people: 3000, storage: 2000, audit: 5000 };
  const state = { view: "now", q: "", owner: "", c: "", before: 0, timer: 0 };
  const region = (part) => document.querySelector(`[data-part="${part}"]`);

  // ---- drawing -----------------------------------------------------------------------------------------------------
  // Makes `old` like `fresh`, keeping every node that stays: the focus, an open menu and a hovered button outlive it.
  function morph(old, fresh) {
    for (const { name, value } of [...fresh.attributes]) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name) && name !== "open") old.removeAttribute(name);
    const kept = new Map([...old.children].filter((node) => node.id).map((node) => [node.id, node]));
    let at = old.firstChild;
    for (const next of [...fresh.childNodes]) {
      const same = next.id ? kept.get(next.id) : at && !at.id && at.nodeName === next.nodeName ? at : null;
      if (!same) { old.insertBefore(next, at); continue; }
      if (same === at) at = at.nextSibling; else old.insertBefore(same, at);
      if (same.nodeType !== Node.ELEMENT_NODE) { if (same.data !== next.data) same.data = next.data; } else morph(same, next);
    }
    while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
  }

  function localTimes(place) {
    const day = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" };
    const hour = { hour: "2-digit", minute: "2-digit" };
    for (const time of place.querySelectorAll("time")) {
      const at = new Date(time.dateTime);
      time.textContent = at.toLocaleString(lang === "zh" ? "zh-CN" : navigator.language, time.dataset.style === "time" ? hour : day);
      time.title = at.toLocaleString();
    }
  }

  function draw(part, html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    localTimes(fresh.content);
    const place = document.createElement("div");
    place.dataset.part = part;
    place.append(fresh.content);
    morph(region(part), place);
  }

  // ---- asking ------------------------------------------------------------------------------------------------------
  function trouble(text) {
    $("trouble").hidden = !text;
    if ($("trouble").textContent !== text) $("trouble").textContent = text;
  }

  async function send(method, path, body) {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), redirect: "manual" });
    } catch {
      trouble(strings["admin.offline"]);
      return null;
    }
    if (answer.ok) { trouble(""); return answer; }
    if (answer.status === 401 || answer.status === 403 || answer.type === "opaqueredirect") { trouble(strings["admin.forbidden"]); return null; }
    const error = await answer.json().then((shape) => shape.error, () => null);
    const said = lang === "en" ? error?.message : strings[`error.${error?.code}`];
    toast(said || error?.message || strings["admin.failed"]);
    return null;
  }

  async function show(part, values = {}) {
    const answer = await send("GET", `/ui/admin/${part}?${new URLSearchParams({ lang, ...values })}`);
    if (answer) draw(part, await answer.text());
    return !!answer;
  }

  const busy = () => !!region(state.view)?.querySelector("details[open]"); // somebody is filling in a form there

  async function watch() {
    clearTimeout(state.timer);
    const view = state.view;
    if (!document.hidden && EVERY_MS[view] && !busy()) await show(view, view === "audit" && state.before ? { before: state.before } : {});
    if (view === state.view) state.timer = setTimeout(watch, EVERY_MS[view] || 5000);
  }

  function open(view) {
    state.view = EVERY_MS[view] || view === "conversations" ? view : "now";
    state.before = 0;
    for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== `view-${state.view}`;
    for (const link of document.querySelectorAll("[data-view]")) {
      if (link.dataset.view === state.view) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
    }
    $("title").textContent = document.querySelector("[data-view][aria-current]").textContent.trim();
    return watch();
  }

  // ---- doing -------------------------------------------------------------------------------------------------------
  function toast(text, label, action) {
    clearTimeout(toast.timer);
    $("toast").replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
    if (action) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: label });
      button.onclick = () => { $("toast").hidden = true; action(); };
      $("toast").append(button);
    }
    $("toast").hidden = false;
    toast.timer = setTimeout(() => { $("toast").hidden = true; }, action ? 8000 : 4000);
  }

  function sure(text, label) {
    $("sure-text").textContent = text;
    const yes = $("sure").querySelector("[value=yes]");
    yes.textContent = label;
    $("sure").showModal();
    return new Promise((settle) => { $("sure").onclose = () => settle($("sure").returnValue === "yes"); });
  }

  async function deed(button, body) {
    const { call, ask, said, undo } = button.dataset;
    if (ask && !(await sure(ask, button.textContent))) return;
    const [method, path] = call.split(" ");
    button.disabled = true;
    const done = await send(method, path, body);
    button.disabled = false;
    if (!done) return;
    button.closest("details[open]")?.removeAttribute("open");
    const back = undo && (async () => { if (await send(method, path, JSON.parse(undo))) watch(); });
    toast(said, strings["admin.undo"], back);
    watch();
  }

  async function find(q, owner) {
    if (!q.trim() && !owner) { $("find").focus(); return; }
    Object.assign(state, { q, owner, c: "" });
    region("opened").replaceChildren();
    await show("found", { q, owner });
  }

  async function read(c) {
    state.c = c;
    for (const item of document.querySelectorAll("[data-open]")) item.toggleAttribute("aria-current", !!c && item.dataset.open === c);
    if (!c) region("opened").replaceChildren();
    else if (await show("opened", { c })) region("opened").querySelector("article")?.focus();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target)) menu.removeAttribute("open");
    if (!button) return;
    const data = button.dataset;
    if (button.closest("#sure")) $("sure").close(button.value);
    else if (data.call) deed(button, data.body && JSON.parse(data.body));
    else if (data.open !== undefined) read(data.open);
    else if (data.list) { location.hash = "conversations"; $("find").value = ""; find("", data.list); }
    else if (data.more) { state.before = Number(data.more); watch(); document.querySelector("main").scrollTop = 0; }
    else if (data.do === "theme") {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("colloquy_theme", root.dataset.theme); } catch { /* private window */ }
    } else if (data.do === "language") {
      document.cookie = `colloquy_lang=${lang === "en" ? "zh" : "en"}; path=/; max-age=31536000; samesite=lax`;
      location.reload();
    }
  });

  document.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    if (form.id === "find-form") find($("find").value, "");
    else if (form.dataset.call) {
      const values = [...new FormData(form)].map(([name, value]) => [name, Number(value)]);
      const button = form.querySelector(".primary");
      Object.assign(button.dataset, { call: form.dataset.call, said: form.dataset.said });
      deed(button, Object.fromEntries(values)).finally(() => { delete button.dataset.call; });
    }
  });

  document.addEventListener("keydown", (event) => {
    const menu = document.querySelector("details.menu[open]");
    if (event.key === "Escape" && menu) { menu.removeAttribute("open"); menu.querySelector("summary").focus(); }
    if (event.key === "/" && !event.target.closest("input, textarea")) { event.preventDefault(); location.hash = "conversations"; $("find").focus(); }
  });
  addEventListener("hashchange", () => open(location.hash.slice(1)));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) watch(); });
  localTimes(document);
  open(location.hash.slice(1)).then(() => document.body.classList.add("ready"));
})();
