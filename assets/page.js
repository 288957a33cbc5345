// The page: what people do becomes one call to the server, and the regions that come back are put in place.
(() => {
  "use strict";
  const { t, live, sources, list, waiting, trace, tuning } = window.colloquy;
  const { call: send, keepDraft, takeDraft } = window.colloquy.calls;
  const { notice, refuse, past, hint, toast, say } = window.colloquy.notices;
  const { store, theme, words, account } = window.colloquy.look;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const GONE_MS = 1500;
  const state = { c: "", who: "", ended: false, running: "", stopping: false, follow: true, opening: 0, offline: false, watch: 0 };

  // ---- calls -------------------------------------------------------------------------------------------------------
  async function call(request) {
    const reply = await send(request);
    if (reply.error?.code === "unauthorized") logIn();
    offline(reply.error?.code === "offline");
    return reply;
  }

  // The session ended: nothing more can be asked here. What was typed comes along to the log-in page and back.
  function logIn() {
    state.ended = true;
    live.closeAll();
    const back = new URL(location.href);
    back.searchParams.delete("q"); // it would take the place of what was typed
    const there = `login?next=${encodeURIComponent(back.pathname + back.search)}`;
    notice(t("error.unauthorized"), t("error.log_in"), () => { keepDraft(state.who, typed()); location.assign(there); }, true);
  }

  // Edits that were not taken, and what is in the question box.
  const typed = () => [...document.querySelectorAll("form.edit textarea, #question")].map((box) => box.value).filter((text) => text.trim()).join("\n\n");

  // Call, put what came back in place, and show an error with its one action. Returns the reply.
  async function act(request, again = () => act(request, again)) {
    const reply = await call(request);
    apply(reply);
    if (reply.error) refuse(reply.error, again);
    else if (request.do === "ask" || request.do === "again") notice(null);
    if (reply.error?.code === "draining") probe().then(watchEngine); // to see the end of it soon
    return reply;
  }

  function apply(reply) {
    if (reply.history !== undefined) list.draw(reply.history, reply.nth);
    if (reply.who) state.who = reply.who;
    if (reply.engine) engine(reply.engine);
    if (reply.corpora) corpora(reply.corpora);
    if (reply.thread !== undefined) {
      state.c = reply.c;
      state.running = reply.running;
      if (reply.pipeline) choose($("pipeline"), reply.pipeline);
      if (reply.corpus) choose($("corpus"), reply.corpus);
      if (reply.by !== undefined) choose($("by"), reply.by);
      thread(reply.thread);
      title(reply.title);
      address(reply.c);
    }
  }

  // Keep every turn that did not change: its text stays selected, its stream stays open.
  function thread(html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const old = new Map([...$("thread").children].filter((node) => node.id).map((node) => [node.id, node]));
    const nodes = [...fresh.content.children].map((node) => {
      const kept = old.get(node.id); // undefined also for what has no id, such as the start
      if (kept && kept.dataset.v === node.dataset.v) return kept;
      if (kept) trace.carry(trace.shownOf(kept), node);
      return node;
    });
    list.keep($("thread"), () => $("thread").replaceChildren(...nodes), resting);
    $("question").placeholder = t($("thread").querySelector(".turn") ? "ask.follow" : "ask.placeholder");
    live.follow($("thread"), root.dataset.lang, hooks);
    const answers = $("thread").querySelectorAll(".answer");
    sources.show(answers[answers.length - 1] || null);
    buttons();
    if (state.follow) toEnd();
  }

  function title(text) {
    $("title").textContent = text;
    waiting.title(text);
    $("export").hidden = $("share").hidden = !state.c || !$("thread").querySelector(".turn");
    for (const link of $("export").querySelectorAll("a")) {
      link.href = `/api/conversations/${state.c}/export?format=${link.dataset.format}`;
    }
  }

  function address(c) {
    const url = c ? `?c=${c}` : location.pathname;
    const now = new URL(location.href).searchParams.get("c") || "";
    if (now !== c) history.pushState({ c }, "", url);
    list.mark(c);
  }

  function engine(chip) {
    $("engine").dataset.state = chip.state;
    const label = $("engine").querySelector("span");
    if (label.textContent !== chip.text) label.textContent = chip.text;
    $("engine").title = chip.text;
    if (chip.state === "ready") $("thread").querySelector(".home .notice")?.remove();
    if (chip.state === "ready") past("draining");
    if (chip.hint && $("notice").hidden) notice(chip.hint, "", null, true, "engine");
    else if (!chip.hint && notice.kind === "engine") notice(null);
  }

  function corpora(found) {
    const wanted = $("corpus").value || store.get("corpus");
    $("corpus").replaceChildren(...found.map((corpus) => {
      const option = Object.assign(document.createElement("option"), { value: corpus.name });
      option.append(Object.assign(document.createElement("b"), { textContent: corpus.name }));
      option.append(Object.assign(document.createElement("small"), { textContent: corpus.text }));
      return option;
    }));
    $("corpus").prepend(document.createElement("button"));
    $("corpus").firstChild.append(document.createElement("selectedcontent"));
    choose($("corpus"), wanted);
  }

  function choose(select, value) {
    if (select && [...select.options].some((option) => option.value === value)) select.value = value;
    pickers();
  }

  function pickers() {
    const option = $("pipeline").selectedOptions[0];
    $("corpus-pick").hidden = !!option && option.dataset.retrieval === "0";
    tuning.badge();
  }

  // ---- live answers ------------------------------------------------------------------------------------------------
  const hooks = {
    drawn(answer, patch) {
      const news = waiting.watch(answer);
      if (patch.say || news) say(patch.say || news);
      if (answer === sources.shown() && (patch.html !== undefined || patch.regions?.sources)) sources.show(answer);
      if (state.follow) toEnd();
    },
    ended(answer, phase, line) {
      if (state.running === answer.dataset.g) state.running = "";
      buttons();
      say(line);
      refreshList();
      if (phase === "failed") probe().then(watchEngine); // to see soon that the engine is back
    },
    gone() { setTimeout(() => { if (!state.offline && !state.ended) open(state.c); }, GONE_MS); },
    lost(answer, isLost) { offline(isLost); },
  };

  function buttons() {
    hint();
    $("send").hidden = !!state.running;
    $("stop").hidden = !state.running;
    $("stop").disabled = state.stopping;
    $("send").disabled = !$("question").value.trim();
  }

  function grow() {
    const box = $("question");
    if (!CSS.supports("field-sizing", "content")) {
      box.style.height = "auto";
      box.style.height = `${Math.min(box.scrollHeight, 220)}px`;
    }
    buttons();
  }

  // Where the focus goes when what had it is gone. On a phone the box would bring up the keyboard.
  const resting = () => (matchMedia("(hover: hover)").matches ? $("question") : $("thread"));
  const scroller = () => $("thread").parentElement;
  function toEnd() { scroller().scrollTop = scroller().scrollHeight; }

  // ---- what people do ----------------------------------------------------------------------------------------------
  async function open(c, focus = false) {
    const turn = ++state.opening;
    state.follow = true;
    const reply = await call({ do: "open", c, q: $("find").value });
    if (turn !== state.opening) { apply({ ...reply, thread: undefined }); return; } // what was done since stays
    apply(reply);
    if (reply.error) refuse(reply.error, () => open(""));
    else if (notice.kind !== "engine") notice(null);
    if (focus) $("question").focus();
  }

  const refreshList = () => act({ do: "list", c: state.c, q: $("find").value });

  // Ask `text`; beside the question that `parent` leads to, it is an edit. Whether it was taken; if not, the page offers
  // to do it `again`.
  async function ask(text, parent = null, again = () => ask($("question").value || text)) {
    if (!text.trim()) return false;
    if (state.running) { toast(t("ask.running")); return false; }
    state.follow = true;
    state.opening++;
    state.running = "sending";
    buttons();
    const pending = document.createElement("article");
    pending.className = "turn pending";
    pending.innerHTML = '<div class="asked"><div class="question" dir="auto"></div></div><p class="status"><span class="dots"><i></i><i></i><i></i></span><span></span></p>';
    pending.querySelector(".question").textContent = text;
    pending.querySelector(".status span:last-child").textContent = t("status.waiting");
    if (parent === null) {
      $("thread").querySelector(".home")?.remove();
      $("thread").append(pending);
      $("question").value = "";
      grow();
      toEnd();
    }
    const reply = await act(
      { do: "ask", c: state.c, text, parent, pipeline: $("pipeline").value, corpus: $("corpus").value, engine: $("by")?.value || "", params: tuning.of($("pipeline").value) },
      again,
    );
    if (state.stopping && state.running === reply.generation) act({ do: "stop", g: state.running });
    state.stopping = false;
    if (reply.error) {
      state.running = "";
      pending.remove();
      if (parent === null && !$("question").value) { $("question").value = text; grow(); }
      if (!$("thread").childElementCount) apply(await call({ do: "open", c: state.c }));
    }
    buttons();
    return !reply.error;
  }

  function offline(yes) {
    if (yes === state.offline) return;
    state.offline = yes;
    if (yes) {
      notice(t("offline.text"), t("offline.action"), probe, true);
      engine({ state: "offline", text: t("engine.offline") });
    } else { notice(null); open(state.c); }
    watchEngine();
  }

  const probe = () => call({ do: "engine" }).then(apply);

  // ---- look --------------------------------------------------------------------------------------------------------
  function language(lang) {
    root.dataset.lang = lang;
    document.cookie = `colloquy_lang=${lang}; path=/; max-age=31536000; samesite=lax`;
    words();
    live.closeAll();
    open(state.c);
  }

  // The engine's state: often while it starts or the line is down, rarely once it is ready, never in a hidden tab, and
  // not again on a page that nobody has touched since.
  function watchEngine() {
    clearTimeout(state.watch);
    if (state.ended) return;
    const pause = state.offline ? 1000 : $("engine").dataset.state !== "ready" ? 2000 : 15000;
    state.watch = setTimeout(async () => {
      const settled = !state.offline && $("engine").dataset.state === "ready";
      if (!document.hidden && (state.touched || !settled)) {
        state.touched = false;
        await probe();
      }
      watchEngine();
    }, pause);
  }

  // A link may fill the page (?q=&pipeline=&corpus=), and never asks; with compare= it is for the page that compares.
  async function start() {
    if (new URL(location.href).searchParams.get("compare")) { location.replace(`/compare${location.search}`); return; }
    while (!["side", "history", "thread", "question", "sources", "keys"].every($)) await new Promise(requestAnimationFrame);
    window.colloquy.listen();
    for (const kind of ["pointermove", "keydown", "focus"]) addEventListener(kind, () => { state.touched = true; }, true);
    words();
    account();
    choose($("pipeline"), store.get("pipeline"));
    choose($("by"), store.get("engine"));
    const link = new URL(location.href).searchParams;
    await open(link.get("c") || "");
    document.body.classList.add("ready");
    $("boot")?.remove();
    for (const name of ["pipeline", "corpus"]) choose($(name), link.get(name));
    choose($("by"), link.get("engine"));
    $("question").value ||= link.get("q") || takeDraft(state.who) || "";
    grow();
    resting().focus();
    watchEngine();
  }

  window.colloquy.page = {
    state, store, act, open, ask, title, grow, buttons, pickers, resting, scroller, refreshList, offline, probe, theme, language,
  };
  window.colloquy.start = start;
})();
