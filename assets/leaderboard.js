// The leaderboard: asks whether a vote has arrived, applies the filters, opens the battles behind a cell.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const lang = root.dataset.lang;
  const strings = window.colloquyStrings[lang];
  const EVERY_MS = 3000;
  const board = $("board");
  const dialog = $("battles");
  let timer = 0;
  let asking = 0;

  const chosen = () => new URLSearchParams([...new FormData($("filters"))].filter(([name, value]) => value !== (name === "judge" ? "human" : "")));
  const part = (name, more) => `/ui/leaderboard/${name}?${new URLSearchParams({ lang, ...Object.fromEntries(chosen()), ...more })}`;

  function trouble(text) {
    $("trouble").hidden = !text;
    if ($("trouble").textContent !== text) $("trouble").textContent = text;
  }

  // ---- the board ---------------------------------------------------------------------------------------------------
  // `news`: somebody has voted; then what had the focus, was open or was scrolled stays so.
  function draw(html, news) {
    const focused = board.contains(document.activeElement) ? document.activeElement.dataset : {};
    const open = !!board.querySelector(".how[open]");
    const scrolled = board.querySelector(".sheet")?.scrollLeft || 0;
    board.innerHTML = html;
    const same = focused.one && cells().find((cell) => cell.dataset.one === focused.one && cell.dataset.other === focused.other);
    rove(same);
    same?.focus({ preventScroll: true });
    board.querySelector(".how")?.toggleAttribute("open", open);
    if (scrolled && board.querySelector(".sheet")) board.querySelector(".sheet").scrollLeft = scrolled;
    if (news) $("told").textContent = strings["arena.updated"];
  }

  async function show(seen) {
    const number = ++asking;
    try {
      const answer = await fetch(part("board", { seen }));
      if (number !== asking) return;
      if (!answer.ok) throw new Error(answer.status);
      if (answer.status !== 204) draw(await answer.text(), !!seen);
      board.dataset.seen = answer.headers.get("X-Seen");
      trouble("");
    } catch {
      if (number === asking) trouble(strings["arena.offline"]);
    }
  }

  async function watch() {
    clearTimeout(timer);
    if (!document.hidden && !dialog.open && !board.hasAttribute("aria-busy")) await show(board.dataset.seen);
    timer = setTimeout(watch, EVERY_MS);
  }

  async function filter() {
    const query = chosen().toString();
    history.replaceState(null, "", query ? `?${query}` : location.pathname);
    board.setAttribute("aria-busy", "true"); // no news until then: they would overtake it
    const number = asking + 1;
    await show("");
    if (number === asking) board.removeAttribute("aria-busy");
  }

  // ---- the matrix: one stop for the Tab key, arrows inside ---------------------------------------------------------
  const cells = () => [...board.querySelectorAll("[data-one]")];

  function rove(to) {
    const all = cells();
    const one = to && all.includes(to) ? to : all[0];
    for (const cell of all) cell.tabIndex = cell === one ? 0 : -1;
  }

  function step(cell, down, right) {
    const size = board.querySelectorAll("[role=grid] tbody tr").length;
    let row = Number(cell.dataset.row) + down;
    let column = Number(cell.dataset.column) + right;
    for (; row >= 0 && column >= 0 && row < size && column < size; row += down, column += right) {
      const next = $(`q-${row}-${column}`);
      if (next) { rove(next); next.focus(); return; }
    }
  }

  async function open(cell) {
    try {
      const answer = await fetch(part("battles", { one: cell.dataset.one, other: cell.dataset.other }));
      if (!answer.ok) throw new Error(answer.status);
      dialog.innerHTML = await answer.text();
    } catch {
      trouble(strings["arena.failed"]);
      return;
    }
    for (const time of dialog.querySelectorAll("time")) {
      const at = new Date(time.dateTime);
      time.textContent = at.toLocaleDateString(lang === "zh" ? "zh-CN" : navigator.language, { year: "numeric", month: "short", day: "numeric" });
      time.title = at.toLocaleString();
    }
    trouble("");
    dialog.showModal();
    dialog.scrollTop = 0;
    $("battles-title").focus();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (event.target === dialog) dialog.close();
    else if (!button) return;
    else if (button.dataset.one) { rove(button); open(button); }
    else if (button.dataset.do === "close") dialog.close();
    else if (button.dataset.do === "theme") {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("colloquy_theme", root.dataset.theme); } catch { /* private window */ }
    } else if (button.dataset.do === "language") {
      document.cookie = `colloquy_lang=${lang === "en" ? "zh" : "en"}; path=/; max-age=31536000; samesite=lax`;
      location.reload();
    }
  });
  document.addEventListener("keydown", (event) => {
    const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (way && event.target.dataset?.one) { event.preventDefault(); step(event.target, ...way); }
  });
  $("filters").addEventListener("change", filter);
  $("filters").addEventListener("submit", (event) => { event.preventDefault(); filter(); });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) watch(); });
  rove();
  timer = setTimeout(watch, EVERY_MS);
  document.body.classList.add("ready");
})();
