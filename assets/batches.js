// Batches: the form for a new one with the list, and the page of one, whose board is fetched again while it runs.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const { lang } = root.dataset;
  const strings = window.colloquyStrings[lang];
  const say = window.colloquy.t;
  const EVERY_MS = 2000;
  const MOST_CHARS = 1500000;
  const id = document.body.dataset.id || "";

  function trouble(text) {
    $("trouble").textContent = text;
    $("trouble").hidden = !text;
  }

  async function send(method, path, body) {
    let answer;
    try { answer = await fetch(path, { method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body) }); }
    catch { return { error: { message: strings["batch.offline"] } }; }
    if (answer.status === 401) { location.assign(`/login?next=${encodeURIComponent(location.pathname)}`); return { error: { message: "" } }; }
    if (answer.ok) return answer.status === 204 ? {} : answer.json();
    return { error: (await answer.json().catch(() => ({}))).error || { message: strings["error.error"] } };
  }

  // ---- a new one ---------------------------------------------------------------------------------------------------
  const rows = () => [...$("sides").children];
  const pick = (row, name) => row.querySelector(`[data-side=${name}]`);

  function settle() {
    rows().forEach((row, n) => {
      row.querySelector(".letter").textContent = "ABCD"[n];
      row.querySelector(".letter").dataset.letter = "abcd"[n];
      pick(row, "corpus").disabled = pick(row, "pipeline").selectedOptions[0]?.dataset.retrieval === "0";
      row.querySelector("[data-do=remove]").hidden = rows().length <= 2;
    });
    document.querySelector("[data-do=add]").hidden = rows().length >= 4;
  }

  function add(side = {}) {
    const row = $("side").content.firstElementChild.cloneNode(true);
    for (const name of ["pipeline", "corpus", "engine"]) {
      if ([...(pick(row, name)?.options || [])].some((option) => option.value === side[name])) pick(row, name).value = side[name];
    }
    pick(row, "params").value = Object.entries(side.params || {}).map(([name, value]) => `${name}=${value}`).join(", ");
    $("sides").append(row);
    settle();
  }

  function params(text) {
    const found = {};
    for (const part of text.split(/[,，]/).filter((piece) => piece.trim())) {
      const [name, ...rest] = part.split("=");
      const value = rest.join("=").trim();
      if (!name.trim() || !value) return null;
      found[name.trim()] = /^(true|false)$/.test(value) ? value === "true" : /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
    }
    return found;
  }

  function count() {
    const text = $("text").value.trim();
    $("go").disabled = !text;
    $("wrong").hidden = true;
    const lines = text.split("\n").filter((line) => line.trim());
    if (!text || text.startsWith("[")) { $("told").textContent = ""; return; }
    const golden = lines.filter((line) => line.trimStart().startsWith("{") && /"golden_answers"\s*:\s*\[\s*[^\]\s]/.test(line)).length;
    const key = golden ? "batch.count_golden" : "batch.count";
    $("told").textContent = say(key, { n: lines.length, golden });
  }

  function fill(text, name) {
    $("text").value = text;
    if (name) $("name").value = name;
    $("text").scrollTop = 0;
    count();
  }

  async function take(file) {
    if (!file) return;
    if (file.size > MOST_CHARS) { wrong(strings["batch.too_large"]); return; }
    fill(await file.text(), file.name);
  }

  function wrong(text) {
    $("wrong").textContent = text;
    $("wrong").hidden = !text;
    if (text) $("wrong").scrollIntoView({ block: "nearest" });
  }

  async function begin(event) {
    event.preventDefault();
    const sides = rows().map((row) => ({ pipeline: pick(row, "pipeline").value, corpus: pick(row, "corpus").disabled ? "" : pick(row, "corpus").value, engine: pick(row, "engine")?.value || "", params: params(pick(row, "params").value) }));
    if (sides.some((side) => side.params === null)) { wrong(strings["batch.bad_params"]); return; }
    $("go").disabled = true;
    const reply = await send("POST", "/api/batches", { name: $("name").value.trim() || strings["batch.unnamed"], questions: $("text").value, sides, judged: $("judged").checked });
    $("go").disabled = false;
    if (reply.error) wrong(reply.error.message);
    else location.assign(`/compare/batches/${reply.id}`);
  }

  function remembered(given) {
    try {
      const kept = JSON.parse(localStorage.getItem("colloquy_sides"));
      return Array.isArray(kept) && kept.length >= 2 ? kept.slice(0, 4) : given;
    } catch { return given; }
  }

  function home() {
    const start = JSON.parse($("start").textContent);
    for (const side of remembered(start.sides)) add(side);
    $("new").addEventListener("submit", begin);
    $("text").addEventListener("input", count);
    $("file").addEventListener("change", () => { take($("file").files[0]); $("file").value = ""; });
    $("sides").addEventListener("change", settle);
    for (const kind of ["dragover", "dragleave", "drop"]) {
      $("drop").addEventListener(kind, (event) => {
        event.preventDefault();
        $("drop").toggleAttribute("data-over", kind === "dragover");
        if (kind === "drop") take(event.dataTransfer.files[0]);
      });
    }
    deeds.example = () => fill(start.example, "demo-questions");
    deeds.add = () => { add(); rows().at(-1).querySelector("select").focus(); };
    deeds.remove = (button) => { button.closest(".way").remove(); settle(); };
    region = { node: $("list"), path: () => "/ui/batches/list", alive: () => !!document.querySelector("[data-state=running]") };
    count();
  }

  // ---- one ---------------------------------------------------------------------------------------------------------
  let region;
  let timer = 0;
  let turn = 0;

  function put(html) {
    if (region.html === html) return;
    region.html = html;
    const focused = region.node.contains(document.activeElement) ? document.activeElement.id : "";
    region.node.innerHTML = html;
    if (focused) $(focused)?.focus({ preventScroll: true });
  }

  async function draw(fresh = false) {
    const mine = ++turn;
    let answer;
    if (fresh) region.node.setAttribute("aria-busy", "true");
    try { answer = await fetch(region.path(fresh ? "" : region.node.dataset.seen || "")); }
    catch { trouble(strings["batch.offline"]); return; }
    finally { if (mine === turn) region.node.removeAttribute("aria-busy"); }
    if (mine !== turn) return;
    if (answer.status === 401) { location.reload(); return; }
    if (answer.status === 404) { location.assign("/compare/batches"); return; }
    if (!answer.ok) { trouble(strings["error.error"]); return; }
    trouble("");
    if (answer.status === 200) {
      const was = $("do-stop");
      region.node.dataset.seen = answer.headers.get("X-Seen") || "";
      put(await answer.text());
      if (was && !$("do-stop")) $("told").textContent = document.querySelector(".sentence")?.textContent || "";
    }
  }

  async function watch() {
    clearTimeout(timer);
    if (!document.hidden && region.alive() && !region.node.hasAttribute("aria-busy")) await draw(); // else it would overtake a view
    timer = setTimeout(watch, EVERY_MS);
  }

  // Another view of the same batch: what changed is in the address, so that it can be kept and sent.
  function view(changed) {
    const url = new URL(location.href);
    for (const [name, value] of Object.entries(changed)) url.searchParams.set(name, value);
    if (!("upto" in changed)) url.searchParams.delete("upto");
    history.replaceState({}, "", url);
    return draw(true);
  }

  async function act(method, path) {
    const reply = await send(method, `/api/batches/${id}${path}`);
    if (reply.error) trouble(reply.error.message);
    return !reply.error;
  }

  async function show(position) {
    if (!$(`q-${position}`)) await view({ show: "file", upto: Math.max(40, Math.ceil((position + 1) / 40) * 40) });
    const row = $(`q-${position}`);
    row?.scrollIntoView({ block: "center", behavior: "smooth" });
    row?.classList.remove("found");
    requestAnimationFrame(() => row?.classList.add("found"));
  }

  function one() {
    region = {
      node: $("board"),
      alive: () => !!$("do-stop"),
      path: (seen) => { const query = new URLSearchParams(location.search); query.set("seen", seen); return `/ui/batches/${id}/board?${query}`; },
    };
    deeds.stop = async () => { if (await act("POST", "/stop")) draw(true); };
    deeds.continue = async () => { if (await act("POST", "/continue")) draw(true); };
    deeds.delete = () => $("sure").showModal();
    deeds.keep = () => $("sure").close();
    deeds["delete-now"] = async () => { $("sure").close(); if (await act("DELETE", "")) location.assign("/compare/batches"); };
    $("board").addEventListener("change", (event) => { if (event.target.id === "metric") view({ metric: event.target.value }); });
    $("board").addEventListener("click", (event) => {
      const bar = event.target.closest("[data-q]");
      const button = event.target.closest("button");
      if (bar) { event.preventDefault(); show(Number(bar.dataset.q)); }
      else if (button?.dataset.show) view({ show: button.dataset.show });
      else if (button?.dataset.pair) view({ pair: button.dataset.pair });
      else if (button?.dataset.upto) view({ upto: Math.min(1000, button.dataset.upto) });
    });
  }

  const deeds = {
    theme() {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("colloquy_theme", root.dataset.theme); } catch { /* private window */ }
    },
    language() {
      document.cookie = `colloquy_lang=${lang === "en" ? "zh" : "en"}; path=/; max-age=31536000; samesite=lax`;
      location.reload();
    },
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-do]");
    if (button) deeds[button.dataset.do]?.(button);
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) watch(); });
  (id ? one : home)();
  timer = setTimeout(watch, EVERY_MS);
  document.body.classList.add("ready");
})();
