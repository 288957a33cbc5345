// The page that compares: what people do becomes one call to the server, and the columns, the ballot and what differs
// are put in place from its reply.
(() => {
  "use strict";
  const { t, live, columns, sides, waiting } = window.colloquy;
  const { call: send } = window.colloquy.calls;
  const { notice, refuse, past, toast, say } = window.colloquy.notices;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const GONE_MS = 1500;
  const HERE = "/ui/compare";
  const state = { c: "", opening: 0, sending: false, offline: false, ended: false, hidden: false, watch: 0, touched: false };

  // ---- calls -------------------------------------------------------------------------------------------------------
  async function call(request, address) {
    const reply = await send(request, address);
    if (reply.error?.code === "unauthorized") logIn();
    offline(reply.error?.code === "offline");
    return reply;
  }

  function logIn() {
    state.ended = true;
    live.closeAll();
    const there = `login?next=${encodeURIComponent(location.pathname + location.search)}`;
    notice(t("error.unauthorized"), t("error.log_in"), () => { keep(); location.assign(there); }, true);
  }

  // What is opened while something is done may tell of the time before: it is dropped, and opened once more.
  async function act(request, again = () => act(request, again)) {
    const turn = ++state.opening;
    const reply = await call(request, HERE);
    if (reply.columns) apply(reply);
    if (turn !== state.opening && state.c) refresh();
    if (reply.error) refuse(reply.error, again);
    else if (notice.kind !== "engine") notice(null);
    return reply;
  }

  // ---- drawing -----------------------------------------------------------------------------------------------------
  function apply(reply) {
    const same = reply.c === state.c;
    state.c = reply.c;
    state.hidden = reply.hidden;
    state.batch = reply.batch;
    document.body.dataset.phase = "run";
    document.body.toggleAttribute("data-hidden", reply.hidden);
    columns.show(reply.columns, same);
    put($("vote"), reply.ballot);
    put($("below"), reply.below);
    $("vote").hidden = !reply.ballot;
    $("blind").checked = reply.blind;
    if (reply.columns.length > 2) $("draw").checked = false; // somebody chose them
    if (!same) { $("question").value = reply.question; grow(); }
    title(reply.title);
    if (new URL(location.href).searchParams.get("id") !== reply.c) history.pushState({}, "", `?id=${reply.c}`);
    columns.follow(hooks);
    buttons();
  }

  // Put `html` into `place`, unless it is there already: a box that is ticked or a list that is unfolded stays so.
  function put(place, html) {
    if (place.drawn === html) return;
    place.drawn = html;
    place.innerHTML = html;
  }

  function title(text) {
    waiting.title(text ? `${text} · ${t("cmp.title")}` : t("cmp.title"));
  }

  const hooks = {
    drawn(answer, patch) {
      const news = waiting.watch(answer);
      const col = answer.closest(".col");
      if (news) say(`${col.dataset.letter.toUpperCase()}: ${news}`);
      if (patch.html !== undefined || patch.regions?.sources) columns.shelf(col);
      if (patch.html !== undefined || patch.regions?.status) columns.mark(col);
    },
    ended(answer, phase, line) {
      columns.ended(answer);
      buttons();
      say(`${answer.closest(".col").dataset.letter.toUpperCase()}: ${line}`);
      refresh();
      if (phase === "failed") probe().then(watch); // to see soon that the engine is back
    },
    gone() { setTimeout(() => { if (!state.offline && !state.ended && state.c) open(state.c); }, GONE_MS); },
    lost(answer, isLost) { offline(isLost); },
  };

  function buttons() {
    const running = columns.running().length > 0;
    const drawing = $("blind").checked && $("draw").checked;
    $("send").hidden = running;
    $("stop").hidden = !running;
    $("send").disabled = state.sending || !$("question").value.trim();
    $("new").hidden = !state.c;
    $("share").hidden = !state.c || state.hidden;
    $("export").hidden = !state.c || running;
    for (const link of $("export").querySelectorAll("a")) link.href = `/api/comparisons/${state.c}/export?format=${link.dataset.format}`;
    $("draw-pick").hidden = !$("blind").checked;
    $("batch").hidden = !state.c || !state.batch;
    $("batch").firstChild.href = `/compare/batches/${state.batch}`;
    $("blind-hint").hidden = !$("blind").checked || !!state.c;
    document.body.toggleAttribute("data-draw", drawing && !state.c);
    document.body.toggleAttribute("data-running", running);
  }

  function grow() {
    const box = $("question");
    if (!CSS.supports("field-sizing", "content")) {
      box.style.height = "auto";
      box.style.height = `${Math.min(box.scrollHeight, 180)}px`;
    }
    buttons();
  }

  // ---- what people do ----------------------------------------------------------------------------------------------
  async function open(c) {
    const turn = ++state.opening;
    const reply = await call({ do: "open", c }, HERE);
    if (turn !== state.opening) return;
    if (reply.columns) apply(reply);
    if (reply.error?.code === "not_found") { fresh(false); notice(reply.error.text, t("toast.dismiss"), () => {}); }
    else if (reply.error) refuse(reply.error, () => open(c));
  }

  const refresh = () => open(state.c);

  async function begin() {
    const text = $("question").value;
    if (!text.trim() || state.sending || columns.running().length) return;
    state.sending = true;
    document.body.toggleAttribute("data-sending", true);
    buttons();
    const blind = $("blind").checked;
    const cols = columns.all();
    const asked = blind && $("draw").checked ? [] : cols.map(sides.of);
    if (!blind) sides.remember(cols);
    const reply = await act({ do: "begin", text, sides: asked, blind, corpus: sides.corpus(cols) }, begin);
    state.sending = false;
    document.body.toggleAttribute("data-sending", false);
    buttons();
    if (!reply.error) {
      document.querySelector("main").scrollTo({ top: 0 });
      columns.all()[0].scrollIntoView({ inline: "start", block: "nearest" });
      $("question").blur();
      document.querySelector("main").focus({ preventScroll: true });
    }
  }

  // One column again: as it was, or with what its pickers say now.
  function again(col) {
    const side = sides.differs(col) ? sides.of(col) : null;
    return act({ do: "again", c: state.c, letter: col.dataset.letter, side });
  }

  async function stop(cols) {
    await Promise.all(cols.map((col) => act({ do: "stop", g: col.g })));
  }

  async function vote(winner) {
    const form = $("vote").querySelector("form");
    const tags = form ? [...form.querySelectorAll("[name=tag]:checked")].map((box) => box.value) : [];
    const comment = form?.comment.value.trim() || "";
    const was = state.hidden;
    const reply = await act({ do: "vote", c: state.c, winner, tags, comment });
    if (reply.error) return;
    $("vote").querySelector(".voted")?.scrollIntoView({ block: "nearest" });
    const names = columns.all().map((col) => col.getAttribute("aria-label")).join(", ");
    say([$("vote").querySelector("b")?.textContent, was ? names : ""].filter(Boolean).join(". "));
    $("vote").querySelector("[data-do=new]")?.focus({ preventScroll: true });
  }

  // Back to the beginning, with the same columns and nothing asked yet.
  function fresh(push = true) {
    const before = columns.all().map(sides.of);
    live.closeAll();
    state.opening++;
    Object.assign(state, { c: "", hidden: false });
    document.body.dataset.phase = "setup";
    document.body.removeAttribute("data-hidden");
    columns.set(before);
    for (const id of ["vote", "below"]) put($(id), "");
    $("vote").hidden = true;
    $("question").value = "";
    title("");
    notice(null);
    if (push) history.pushState({}, "", location.pathname);
    grow();
    $("question").focus();
  }

  // ---- the line and the engine -------------------------------------------------------------------------------------
  function offline(yes) {
    if (yes === state.offline) return;
    state.offline = yes;
    if (yes) {
      notice(t("offline.text"), t("offline.action"), probe, true, "offline");
      engine({ state: "offline", text: t("engine.offline") });
    } else { notice(null); if (state.c) refresh(); }
    watch();
  }

  const probe = async () => { const reply = await call({ do: "engine" }); if (reply.engine) engine(reply.engine); };

  function engine(chip) {
    $("engine").dataset.state = chip.state;
    $("engine").querySelector("span").textContent = chip.text;
    $("engine").title = chip.text;
    if (chip.state === "ready") past("draining");
    if (chip.hint && $("notice").hidden) notice(chip.hint, "", null, true, "engine");
    else if (!chip.hint && notice.kind === "engine") notice(null);
  }

  function watch() {
    clearTimeout(state.watch);
    if (state.ended) return;
    const ready = !state.offline && $("engine").dataset.state === "ready";
    state.watch = setTimeout(async () => {
      if (!document.hidden && (state.touched || !ready)) { state.touched = false; await probe(); }
      watch();
    }, state.offline ? 1000 : ready ? 15000 : 2000);
  }

  // ---- what was typed, across a reload ------------------------------------------------------------------------------
  function keep() {
    try { sessionStorage.setItem("colloquy_compare", JSON.stringify({ text: $("question").value })); } catch { /* private window */ }
  }

  function kept() {
    try {
      const draft = JSON.parse(sessionStorage.getItem("colloquy_compare"));
      sessionStorage.removeItem("colloquy_compare");
      return draft?.text || "";
    } catch { return ""; }
  }

  window.colloquy.compare = { state, act, open, begin, again, stop, vote, fresh, buttons, grow, offline, probe, watch, engine, keep, kept, toast, root };
})();
