// What people do on the page that compares with mouse, touch and keyboard, and how it begins: from a link, from an open
// comparison, or from the columns of the last time. A link fills the page and never asks.
(() => {
  "use strict";
  const { t, columns, sides, compare, notices, share } = window.colloquy;
  const { state, open, begin, again, stop, vote, fresh, buttons, grow, offline, probe, watch } = compare;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const colOf = (el) => el.closest(".col");

  async function copy(col) {
    const icon = col.querySelector("[data-do=copy] use");
    try {
      await navigator.clipboard.writeText(col.querySelector("template.raw").content.textContent);
      icon.setAttribute("href", "#i-check");
      setTimeout(() => icon.setAttribute("href", "#i-copy"), 1400);
      notices.say(t("turn.copied"));
    } catch { notices.toast(t("turn.copy_failed")); }
  }

  function language() {
    compare.keep();
    document.cookie = `colloquy_lang=${root.dataset.lang === "zh" ? "en" : "zh"}; path=/; max-age=31536000; samesite=lax`;
    location.reload();
  }

  function theme() {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("colloquy_theme", root.dataset.theme); } catch { /* private window */ }
  }

  // Who chooses the columns wants these, not two that are drawn.
  function chosen() {
    $("draw").checked = false;
    buttons();
  }

  const doing = {
    new: () => fresh(),
    add: () => { columns.add(); chosen(); },
    remove: (el) => columns.remove(colOf(el)),
    tune: (el) => sides.toggle(colOf(el) || columns.all()[0]),
    "tune-reset": () => sides.reset(),
    stop: () => stop(columns.running()),
    "stop-one": (el) => stop([colOf(el)]),
    again: (el) => (colOf(el) ? again(colOf(el)) : null),
    copy: (el) => copy(colOf(el)),
    tab: (el) => columns.reveal(columns.all()[[...$("tabs").children].indexOf(el)]),
    vote: (el) => vote(el.dataset.winner),
    revote: () => { $("vote").querySelector("form").hidden = false; $("vote").querySelector(".voted").hidden = true; $("vote").querySelector(".choice").focus(); },
    passage: (el) => columns.visit(el),
    share: () => share.open(state.c),
    example: (el) => { $("question").value = el.textContent; grow(); $("question").focus(); },
    keys: () => ($("keys").open ? $("keys").close() : $("keys").showModal()),
    theme,
    language,
  };

  // ---- keyboard ----------------------------------------------------------------------------------------------------
  const typing = (el) => el.matches("input:not([type=checkbox]), textarea, select, [contenteditable]");
  const BALLOT = { 1: "a", 2: "b", 3: "c", 4: "d", 0: "tie", t: "tie", b: "both_bad" };

  function onKey(event) {
    const mod = event.ctrlKey || event.metaKey;
    const key = event.key.toLowerCase();
    const over = $("keys").open || sides.isOpen() || share.isOpen();
    const plain = !mod && !event.altKey && !typing(event.target) && !over;
    if (mod && event.shiftKey && key === "o") fresh();
    else if (mod && key === "/") doing.keys();
    else if (key === "escape") {
      if (over || !columns.running().length) return;
      stop(columns.running());
    } else if (plain && BALLOT[key]) {
      const button = $("vote").querySelector(`[data-winner="${BALLOT[key]}"]`);
      if (!button?.checkVisibility() || event.repeat) return;
      button.click();
    } else if (plain && key === "r" && $("vote").querySelector("[name=tag]")) $("vote").querySelector("[name=tag]").focus();
    else if (plain && (key === "[" || key === "]")) beside(key === "[" ? -1 : 1);
    else if (plain && key === "/") { $("question").focus(); $("question").select(); }
    else return;
    event.preventDefault();
  }

  // The column beside the one that has the focus, or beside the one in view.
  function beside(step) {
    const cols = columns.all();
    const here = cols.indexOf(document.activeElement.closest(".col"));
    const to = here < 0 ? (step > 0 ? 0 : cols.length - 1) : Math.min(cols.length - 1, Math.max(0, here + step));
    cols[to].focus({ preventScroll: true });
    columns.reveal(cols[to]);
  }

  function hot(event, on) {
    const p = event.target.closest?.("[data-p]")?.dataset.p;
    if (p === undefined) return;
    for (const el of document.querySelectorAll(`[data-p="${p}"]`)) el.classList.toggle("hot", on);
    document.querySelector(".slope")?.classList.toggle("chosen", on);
  }

  function listen() {
    document.addEventListener("click", (event) => {
      if (!$("export").contains(event.target) || event.target.closest("a")) $("export").open = false;
      const el = event.target.closest("[data-do]");
      const cite = event.target.closest(".cite");
      if (cite) columns.visit(cite);
      else if (el && doing[el.dataset.do]) { event.preventDefault(); doing[el.dataset.do](el); }
    });
    document.addEventListener("keydown", onKey);
    for (const [name, on] of [["pointerover", true], ["pointerout", false], ["focusin", true], ["focusout", false]]) {
      document.addEventListener(name, (event) => hot(event, on));
    }
    $("ask").addEventListener("submit", (event) => { event.preventDefault(); begin(); });
    $("question").addEventListener("input", grow);
    $("question").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); begin(); }
    });
    $("cols").addEventListener("change", chosen);
    for (const id of ["blind", "draw"]) $(id).addEventListener("change", buttons);
    for (const kind of ["pointermove", "keydown", "focus"]) addEventListener(kind, () => { state.touched = true; }, true);
    $("vote").addEventListener("submit", (event) => event.preventDefault());
    window.addEventListener("popstate", begins);
    document.addEventListener("visibilitychange", () => { if (!document.hidden && state.c) open(state.c); });
    window.addEventListener("offline", () => offline(true));
    window.addEventListener("online", probe);
    columns.listen();
    sides.listen();
  }

  // ---- the beginning -----------------------------------------------------------------------------------------------
  const params = () => new URL(location.href).searchParams;

  // The columns that the address names, else those of the last time, else the server's.
  function wanted() {
    const own = JSON.parse($("start").textContent).sides;
    const last = sides.remembered();
    const link = params();
    const named = (link.get("compare") || "").split(",").map((name) => name.trim()).filter(Boolean);
    if (link.get("pipeline") && !named.includes(link.get("pipeline"))) named.unshift(link.get("pipeline"));
    const base = last.length >= 2 ? last : own;
    const of = named.map((pipeline) => ({ pipeline, corpus: base[0].corpus, params: {} }));
    for (const side of base) if (of.length && of.length < 2 && side.pipeline !== of[0].pipeline) of.push(side);
    const found = of.length ? of : base;
    const engines = link.get("engine")?.split(",");
    return found.map((side, n) => ({
      ...side,
      corpus: link.get("corpus") || side.corpus,
      engine: engines ? engines[n] ?? engines.at(-1) : side.engine,
    }));
  }

  async function begins() {
    const id = params().get("id");
    if (id) { await open(id); return; }
    if (state.c) { fresh(false); return; }
    if (params().get("compare")) chosen();
    if (params().has("blind")) $("blind").checked = true;
    $("question").value = params().get("q") || compare.kept() || $("question").value;
    grow();
  }

  async function start() {
    if (/Mac|iPhone|iPad/.test(navigator.platform)) for (const el of document.querySelectorAll("kbd.mod")) el.textContent = "⌘";
    document.body.dataset.phase = params().get("id") ? "run" : "setup";
    listen();
    if (!columns.set(wanted())) notices.toast(t("cmp.link_unknown"));
    await begins();
    document.body.classList.add("ready");
    if (!state.c && matchMedia("(hover: hover)").matches) $("question").focus();
    watch();
  }

  start();
})();
