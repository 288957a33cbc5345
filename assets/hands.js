// What people do with mouse, touch and keyboard: every button names its deed in `data-do`, every shortcut is below.
(() => {
  "use strict";
  const { t, sources, notices, list, tuning, page } = window.colloquy;
  const { state, store, act, open, ask, title, grow, buttons, pickers, resting, scroller, refreshList, offline, probe, theme, language } = page;
  const { toast, say } = notices;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;

  function edit(turn) {
    const question = turn.querySelector(".question");
    if (turn.querySelector("form.edit")) return;
    const from = document.activeElement;
    const form = Object.assign(document.createElement("form"), { className: "edit" });
    const box = Object.assign(document.createElement("textarea"), { value: question.textContent, rows: 1 });
    box.setAttribute("aria-label", t("turn.edit"));
    box.dataset.testid = "edit-box";
    const send = Object.assign(document.createElement("button"), { className: "button primary", textContent: t("turn.edit_send") });
    send.dataset.testid = "edit-send";
    const cancel = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: t("turn.edit_cancel") });
    form.append(box, cancel, send);
    const done = () => {
      form.remove();
      turn.classList.remove("editing");
      (from.isConnected && from !== document.body ? from : resting()).focus();
    };
    cancel.onclick = done;
    const submit = async () => { if (await ask(box.value, turn.dataset.parent, submit)) done(); }; // if refused, it stays
    form.onsubmit = (event) => { event.preventDefault(); submit(); };
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
    share: () => window.colloquy.share.open(state.c),
    tune: () => tuning.toggle(),
    "tune-reset": () => tuning.reset(),
    theme: () => theme(root.dataset.theme === "dark" ? "light" : "dark"),
    language: () => language(root.dataset.lang === "zh" ? "en" : "zh"),
    stop: (el) => {
      const g = el?.dataset.g || state.running;
      if (g === "sending") { state.stopping = true; buttons(); } // it has no answer to stop yet
      else if (g) act({ do: "stop", g });
    },
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

  function drawer(yes) {
    const inside = document.body.classList.contains("drawer") && $("side").contains(document.activeElement);
    document.body.classList.toggle("drawer", yes);
    if (yes) $("side").querySelector(".new").focus();
    else if (inside) document.querySelector(".top [data-do=drawer]").focus();
  }

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
      if ($("keys").open || tuning.isOpen() || window.colloquy.share.isOpen()) return;
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
    list.listen();
    tuning.listen();
    $("keys").addEventListener("close", () => { if (!$("app").contains(document.activeElement)) resting().focus(); });
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
    $("by")?.addEventListener("change", () => store.set("engine", $("by").value));
    window.addEventListener("popstate", () => open(new URL(location.href).searchParams.get("c") || ""));
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refreshList(); });
    window.addEventListener("offline", () => offline(true));
    window.addEventListener("online", probe);
  }

  window.colloquy.listen = listen;
})();
