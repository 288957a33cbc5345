// The page: what people do becomes one call to the server, and the regions that come back are put in place.
(() => {
  "use strict";
  const { live, sources } = window.colloquy;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const GONE_MS = 1500;
  const state = { c: "", server: null, running: "", follow: true, opening: 0, offline: false };
  const { t } = window.colloquy;
  const store = {
    get: (key) => { try { return localStorage.getItem(`colloquy_${key}`); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(`colloquy_${key}`, value); } catch { /* private window */ } },
  };

  // ---- calls -------------------------------------------------------------------------------------------------------
  async function call(request) {
    const reply = await state.server.act({ lang: root.dataset.lang, ...request });
    offline(reply === undefined || reply === null);
    return reply || { error: { code: "offline" } };
  }

  // Call, put what came back in place, and show an error with its one action. Returns the reply.
  async function act(request, again = () => act(request, again)) {
    const reply = await call(request);
    apply(reply);
    if (reply.error) refuse(reply.error, again);
    else if (request.do !== "list") notice(null);
    return reply;
  }

  function apply(reply) {
    if (reply.history !== undefined && !$("history").querySelector("input")) $("history").innerHTML = reply.history;
    if (reply.engine) engine(reply.engine);
    if (reply.corpora) corpora(reply.corpora);
    if (reply.thread !== undefined) {
      state.c = reply.c;
      state.running = reply.running;
      if (reply.pipeline) choose($("pipeline"), reply.pipeline);
      if (reply.corpus) choose($("corpus"), reply.corpus);
      thread(reply.thread);
      title(reply.title);
      address(reply.c);
    }
  }

  // Keep every turn that did not change: its text stays selected, its stream stays open.
  function thread(html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const old = new Map([...$("thread").children].map((node) => [node.id, node]));
    const nodes = [...fresh.content.children].map((node) => {
      const kept = node.id && old.get(node.id);
      return kept && kept.dataset.v === node.dataset.v ? kept : node;
    });
    $("thread").replaceChildren(...nodes);
    $("question").placeholder = t($("thread").querySelector(".turn") ? "ask.follow" : "ask.placeholder");
    live.follow($("thread"), root.dataset.lang, hooks);
    const answers = $("thread").querySelectorAll(".answer");
    sources.show(answers[answers.length - 1] || null);
    buttons();
    if (state.follow) toEnd();
  }

  function title(text) {
    $("title").textContent = text;
    document.title = text ? `${text} · Colloquy` : "Colloquy";
    $("export").hidden = !state.c || !$("thread").querySelector(".turn");
    for (const link of $("export").querySelectorAll("a")) {
      link.href = `/api/conversations/${state.c}/export?format=${link.dataset.format}`;
    }
  }

  function address(c) {
    const url = c ? `?c=${c}` : location.pathname;
    const now = new URL(location.href).searchParams.get("c") || "";
    if (now !== c) history.pushState({ c }, "", url);
    for (const line of $("history").querySelectorAll(".line")) {
      line.toggleAttribute("data-current", line.dataset.c === c);
      const link = line.querySelector("a");
      if (line.dataset.c === c) link?.setAttribute("aria-current", "page");
      else link?.removeAttribute("aria-current");
    }
  }

  function engine(chip) {
    $("engine").dataset.state = chip.state;
    const label = $("engine").querySelector("span");
    if (label.textContent !== chip.text) label.textContent = chip.text;
    $("engine").title = chip.text;
    if (chip.state === "ready") $("thread").querySelector(".home .notice")?.remove();
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
    if ([...select.options].some((option) => option.value === value)) select.value = value;
    pickers();
  }

  function pickers() {
    const option = $("pipeline").selectedOptions[0];
    $("corpus-pick").hidden = !!option && option.dataset.retrieval === "0";
  }

  // ---- live answers ------------------------------------------------------------------------------------------------
  const hooks = {
    drawn(answer, patch) {
      if (patch.say) say(patch.say);
      if (answer === sources.shown() && (patch.html !== undefined || patch.regions?.sources)) sources.show(answer);
      if (state.follow) toEnd();
    },
    ended(answer, phase) {
      if (state.running === answer.dataset.g) state.running = "";
      buttons();
      say(t(`status.${phase}`));
      refreshList();
    },
    gone() { setTimeout(() => { if (!state.offline) open(state.c); }, GONE_MS); },
    lost(answer, isLost) { offline(isLost); },
  };

  function say(text) {
    const line = Object.assign(document.createElement("p"), { textContent: text });
    $("say").append(line);
    while ($("say").childElementCount > 6) $("say").firstChild.remove();
  }

  function buttons() {
    $("send").hidden = !!state.running;
    $("stop").hidden = !state.running;
    $("send").disabled = !$("question").value.trim();
  }

  const scroller = () => $("thread").parentElement;
  function toEnd() { scroller().scrollTop = scroller().scrollHeight; }

  // ---- what people do ----------------------------------------------------------------------------------------------
  async function open(c, focus = false) {
    const turn = ++state.opening;
    state.follow = true;
    const reply = await call({ do: "open", c, q: $("find").value });
    if (turn !== state.opening) return;
    apply(reply);
    if (reply.error) refuse(reply.error, () => open(""));
    else notice(null);
    if (focus) $("question").focus();
  }

  const refreshList = () => act({ do: "list", c: state.c, q: $("find").value });

  async function ask(text, parent = null) {
    if (!text.trim() || state.running) return;
    state.follow = true;
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
    }
    toEnd();
    const reply = await act(
      { do: "ask", c: state.c, text, parent, pipeline: $("pipeline").value, corpus: $("corpus").value },
      () => { if (parent === null) $("question").value = ""; ask(text, parent); },
    );
    if (reply.error) {
      state.running = "";
      pending.remove();
      if (parent === null && !$("question").value) { $("question").value = text; grow(); }
      if (!$("thread").childElementCount) apply(await call({ do: "open", c: state.c }));
    }
    buttons();
  }

  function edit(turn) {
    const question = turn.querySelector(".question");
    if (turn.querySelector("form.edit")) return;
    const form = Object.assign(document.createElement("form"), { className: "edit" });
    const box = Object.assign(document.createElement("textarea"), { value: question.textContent, rows: 1 });
    box.setAttribute("aria-label", t("turn.edit"));
    box.dataset.testid = "edit-box";
    const send = Object.assign(document.createElement("button"), { className: "button primary", textContent: t("turn.edit_send") });
    send.dataset.testid = "edit-send";
    const cancel = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: t("turn.edit_cancel") });
    form.append(box, cancel, send);
    const done = () => { form.remove(); turn.classList.remove("editing"); };
    cancel.onclick = () => { done(); $("question").focus(); };
    form.onsubmit = (event) => {
      event.preventDefault();
      if (state.running || !box.value.trim()) return;
      const text = box.value;
      done();
      ask(text, turn.dataset.parent);
    };
    box.onkeydown = (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); form.requestSubmit(); }
      if (event.key === "Escape") { event.stopPropagation(); cancel.onclick(); }
    };
    turn.classList.add("editing");
    question.after(form);
    box.focus();
    box.setSelectionRange(box.value.length, box.value.length);
  }

  function rename(line) {
    const link = line.querySelector("a");
    const input = Object.assign(document.createElement("input"), { value: link.querySelector(".title").textContent });
    input.setAttribute("aria-label", t("nav.title"));
    input.dataset.testid = "rename-box";
    let settled = false;
    const settle = async (save) => {
      if (settled) return;
      settled = true;
      const text = input.value.trim();
      input.replaceWith(link);
      if (save && text) {
        await act({ do: "rename", t: line.dataset.c, text, c: state.c, q: $("find").value });
        if (line.dataset.c === state.c) title(text);
      }
      $("history").querySelector(`[data-c="${line.dataset.c}"] a`)?.focus();
    };
    input.onkeydown = (event) => {
      if (event.key === "Enter" && !event.isComposing) settle(true);
      if (event.key === "Escape") { event.stopPropagation(); settle(false); }
    };
    input.onblur = () => settle(true);
    link.replaceWith(input);
    input.focus();
    input.select();
  }

  async function remove(line) {
    const gone = line.dataset.c;
    const was = state.c;
    const reply = await act({ do: "delete", t: gone, c: was, q: $("find").value });
    if (reply.error) return;
    toast(t("toast.deleted"), t("toast.undo"), async () => {
      const back = await act({ do: "restore", t: gone, c: state.c, q: $("find").value });
      if (!back.error) { toast(t("toast.restored")); if (was === gone) open(gone); }
    });
  }

  async function copy(text, button) {
    try {
      await navigator.clipboard.writeText(text);
      const icon = button.querySelector("use");
      const before = icon.getAttribute("href");
      icon.setAttribute("href", "#i-check");
      setTimeout(() => icon.setAttribute("href", before), 1400);
      say(t("turn.copied"));
    } catch { toast(t("turn.copy_failed")); }
  }

  const doing = {
    new: () => { drawer(false); $("find").value = ""; open("", true); },
    open: (el) => { drawer(false); open(el.closest(".line").dataset.c); },
    drawer: () => drawer(!document.body.classList.contains("drawer")),
    evidence: () => sources.open(!sources.isOpen(), true),
    sources: (el) => { sources.show(el.closest(".answer")); sources.open(true, true); },
    close: () => { drawer(false); if (!sources.wide()) sources.open(false); },
    keys: () => ($("keys").open ? $("keys").close() : $("keys").showModal()),
    theme: () => theme(root.dataset.theme === "dark" ? "light" : "dark"),
    language: () => language(root.dataset.lang === "zh" ? "en" : "zh"),
    stop: () => state.running && state.running !== "sending" && act({ do: "stop", g: state.running }),
    again: (el) => { state.follow = true; act({ do: "again", g: el.dataset.g, c: state.c }); },
    choose: (el) => act({ do: "choose", g: el.dataset.g, c: state.c }),
    branch: (el) => act({ do: "branch", t: el.dataset.t, c: state.c }),
    edit: (el) => edit(el.closest(".turn")),
    copy: (el) => copy(el.closest(".foot").querySelector("template.raw").content.textContent, el),
    "copy-question": (el) => copy(el.closest(".asked").querySelector(".question").textContent, el),
    example: (el) => ask(el.textContent),
    rename: (el) => rename(el.closest(".line")),
    pin: (el) => act({ do: "pin", t: el.closest(".line").dataset.c, pinned: el.dataset.pinned === "0", c: state.c, q: $("find").value }),
    delete: (el) => remove(el.closest(".line")),
  };

  // ---- notices -----------------------------------------------------------------------------------------------------
  function bar(place, text, label, action) {
    place.replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
    if (label) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: label });
      button.onclick = action;
      place.append(button);
    }
    place.hidden = false;
  }

  function notice(text, label, action) {
    clearInterval(notice.timer);
    $("notice").hidden = true;
    if (text) bar($("notice"), text, label, () => { notice(null); action(); });
  }

  function refuse(error, again) {
    if (error.code === "offline") return;
    if (error.action === "new") { notice(error.text, t("error.home"), () => doing.new()); return; }
    if (error.code === "bad_input") { notice(error.text, t("toast.dismiss"), () => $("question").focus()); return; }
    let left = Math.ceil(error.retry_s || 0);
    notice(error.text, t("error.retry"), again);
    const button = $("notice").querySelector("button");
    const tick = () => {
      button.disabled = left > 0;
      button.textContent = left > 0 ? t("error.retry_in", { s: t("time.s", { n: left }) }) : t("error.retry");
      if (left-- <= 0) clearInterval(notice.timer);
    };
    tick();
    notice.timer = setInterval(tick, 1000);
  }

  function offline(yes) {
    if (yes === state.offline) return;
    state.offline = yes;
    if (yes) { notice(t("offline.text"), t("offline.action"), probe); root.dataset.offline = ""; }
    else { notice(null); delete root.dataset.offline; open(state.c); }
  }

  const probe = () => { if (state.offline) bar($("notice"), t("offline.text"), t("offline.action"), probe); return call({ do: "engine" }).then(apply); };

  function toast(text, label, action) {
    clearTimeout(toast.timer);
    bar($("toast"), text, label, () => { $("toast").hidden = true; action(); });
    toast.timer = setTimeout(() => { $("toast").hidden = true; }, label ? 8000 : 2500);
  }

  // ---- look --------------------------------------------------------------------------------------------------------
  function theme(name) {
    root.dataset.theme = name;
    store.set("theme", name);
  }

  function words() {
    root.lang = root.dataset.lang; // Gradio writes the browser's language here
    for (const el of document.querySelectorAll("[data-t]")) el.textContent = t(el.dataset.t);
    for (const el of document.querySelectorAll("[data-t-placeholder]")) el.placeholder = t(el.dataset.tPlaceholder);
    for (const el of document.querySelectorAll("[data-t-label]")) {
      el.setAttribute("aria-label", t(el.dataset.tLabel));
      if (el.matches("button, summary")) el.title = t(el.dataset.tLabel);
    }
    const mod = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";
    for (const el of document.querySelectorAll("kbd.mod")) el.textContent = el.closest(".find") ? `${mod} K` : mod;
    for (const option of $("pipeline").options) {
      const strings = window.colloquyStrings[root.dataset.lang];
      const [name, text] = [`pipeline.${option.value}`, `pipeline.${option.value}.text`];
      option.querySelector("b") && (option.querySelector("b").textContent = strings[name] ?? option.dataset.title);
      option.querySelector("small") && (option.querySelector("small").textContent = strings[text] ?? option.dataset.text);
    }
  }

  function language(lang) {
    root.dataset.lang = lang;
    document.cookie = `colloquy_lang=${lang}; path=/; max-age=31536000; samesite=lax`;
    words();
    live.closeAll();
    open(state.c);
  }

  function drawer(yes) {
    document.body.classList.toggle("drawer", yes);
    if (yes) $("side").querySelector(".new").focus();
  }

  function grow() {
    const box = $("question");
    if (!CSS.supports("field-sizing", "content")) {
      box.style.height = "auto";
      box.style.height = `${Math.min(box.scrollHeight, 220)}px`;
    }
    buttons();
  }

  // ---- hands -------------------------------------------------------------------------------------------------------
  const typing = (el) => el.matches("input, textarea, select, [contenteditable]");

  function onKey(event) {
    const mod = event.ctrlKey || event.metaKey;
    const key = event.key;
    if (mod && key.toLowerCase() === "k") {
      if (getComputedStyle($("side")).position === "fixed") drawer(true);
      $("find").focus();
      $("find").select();
    } else if (mod && event.shiftKey && key.toLowerCase() === "o") doing.new();
    else if (mod && key === "/") doing.keys();
    else if (key === "Escape") {
      if ($("keys").open) return;
      if (event.target === $("find") && $("find").value) { $("find").value = ""; refreshList(); }
      else if (document.body.classList.contains("drawer")) drawer(false);
      else if (!sources.wide() && sources.isOpen()) sources.open(false);
      else if (state.running) doing.stop();
      else return;
    } else if ((key === "[" || key === "]") && !mod && !event.altKey && !typing(event.target)) {
      const pagers = $("thread").querySelectorAll(".pager");
      const button = pagers[pagers.length - 1]?.querySelectorAll("button")[key === "[" ? 0 : 1];
      if (button && !button.disabled) button.click();
    } else return;
    event.preventDefault();
  }

  function listen() {
    document.addEventListener("click", (event) => {
      const el = event.target.closest("[data-do]");
      const cite = event.target.closest(".cite");
      for (const menu of document.querySelectorAll("details.menu[open]")) if (!menu.contains(event.target) || event.target.closest("a")) menu.open = false;
      if (cite) sources.visit(cite);
      else if (el && !(el.matches("a") && (event.ctrlKey || event.metaKey || event.shiftKey))) {
        event.preventDefault();
        doing[el.dataset.do](el);
      }
    });
    for (const [name, on] of [["pointerover", true], ["pointerout", false]]) {
      document.addEventListener(name, (event) => { const cite = event.target.closest?.(".cite"); if (cite) sources.hover(cite, on); });
    }
    document.addEventListener("keydown", onKey);
    $("ask").addEventListener("submit", (event) => { event.preventDefault(); ask($("question").value); });
    $("question").addEventListener("input", grow);
    $("question").addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask($("question").value); }
      else if (event.key === "ArrowUp" && !$("question").value && !state.running) {
        const turns = $("thread").querySelectorAll(".turn[data-turn]");
        if (turns.length) { event.preventDefault(); edit(turns[turns.length - 1]); }
      }
    });
    let searching = 0;
    $("find").addEventListener("input", () => { clearTimeout(searching); searching = setTimeout(refreshList, 140); });
    scroller().addEventListener("scroll", () => {
      const el = scroller();
      state.follow = el.scrollHeight - el.scrollTop - el.clientHeight < 60;
    }, { passive: true });
    for (const name of ["pipeline", "corpus"]) {
      $(name).addEventListener("change", () => { store.set(name, $(name).value); pickers(); });
    }
    window.addEventListener("popstate", () => open(new URL(location.href).searchParams.get("c") || ""));
    window.addEventListener("offline", () => offline(true));
    window.addEventListener("online", probe);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", (event) => {
      if (!store.get("theme")) root.dataset.theme = event.matches ? "dark" : "light";
    });
  }

  // The engine's state: often while it starts or the line is down, rarely once it is ready, never in a hidden tab.
  function watchEngine() {
    const pause = state.offline || $("engine").dataset.state !== "ready" ? 2000 : 15000;
    setTimeout(async () => {
      if (!document.hidden) await probe();
      watchEngine();
    }, pause);
  }

  async function start(server) {
    while (!["side", "history", "thread", "question", "sources", "keys"].every($)) await new Promise(requestAnimationFrame);
    state.server = server;
    listen();
    words();
    choose($("pipeline"), store.get("pipeline"));
    await open(new URL(location.href).searchParams.get("c") || "");
    document.body.classList.add("ready");
    $("boot")?.remove();
    if (matchMedia("(hover: hover)").matches) $("question").focus();
    watchEngine();
  }

  window.colloquy.start = start;
})();
