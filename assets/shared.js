// The page behind a share link: sources, watching what is still being written, a copy of one's own, and running again.
(() => {
  "use strict";
  const { t, live, sources } = window.colloquy;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const { token } = document.body.dataset;
  const here = `/s/${token}`;

  const hooks = {
    drawn(answer, patch) {
      window.colloquy.waiting.watch(answer);
      if (answer === sources.shown() && (patch.html !== undefined || patch.regions?.sources)) sources.show(answer);
    },
    ended(answer) {
      if (answer.closest(".rerun")) compare(answer);
      else if (!document.querySelector(".told > .answer[data-live]")) settled();
    },
    gone() { location.reload(); }, // revoked, or the server has started anew
    lost() {},
  };

  // Nothing is being written any more.
  function settled() {
    for (const el of [document.querySelector(".on-air"), $("as-live")]) el?.remove();
    $("as-of").hidden = false;
  }

  async function ask(method, path) {
    try {
      const answer = await fetch(path, { method, headers: { Accept: "application/json" } });
      if (answer.ok) return await (answer.headers.get("content-type").includes("json") ? answer.json() : answer.text());
      if (answer.status === 404) { location.reload(); return null; }
      const { error } = await answer.json();
      if (error.code === "unauthorized") { location.assign(`/login?next=${encodeURIComponent(`${here}?then=fork`)}`); return null; }
      const zh = window.colloquyStrings.zh;
      say(root.dataset.lang === "en" ? error.message : zh[`wrong.${error.code}`] || zh[`error.${error.code}`] || t("share.failed"));
    } catch { say(t("share.failed")); }
    return null;
  }

  function say(text) {
    $("said").textContent = text;
    $("said").classList.add("bad");
  }

  async function fork(event) {
    event.preventDefault();
    const copied = await ask("POST", `${here}/fork`);
    if (copied) location.assign(copied.url);
  }

  // The same once more, below the answer that was shared.
  async function rerun(button) {
    button.disabled = true;
    const ticket = await ask("POST", `${here}/again/${button.dataset.key}`);
    button.disabled = false;
    if (!ticket) return;
    const told = button.closest(".told");
    told.querySelector(".rerun")?.remove();
    const place = document.createElement("section");
    place.className = "rerun";
    place.dataset.testid = "rerun";
    const head = document.createElement("header");
    head.append(Object.assign(document.createElement("h3"), { textContent: t("shared.again_now") }));
    head.append(Object.assign(document.createElement("a"), { href: `/?c=${ticket.conversation_id}`, textContent: t("shared.again_open") }));
    const answer = document.createElement("section");
    answer.className = "answer";
    answer.dataset.g = ticket.generation_id;
    answer.dataset.live = "";
    answer.dataset.key = button.dataset.key;
    place.append(head, answer);
    told.append(place);
    live.follow(document, root.dataset.lang, hooks);
    place.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  async function compare(answer) {
    const { g, key } = answer.dataset;
    const html = await ask("GET", `${here}/changes/${key}?g=${g}&lang=${root.dataset.lang}`);
    if (!html) return;
    answer.insertAdjacentHTML("afterend", html);
    answer.nextElementSibling.scrollIntoView({ block: "nearest" });
  }

  async function copy(button) {
    const text = button.closest(".foot").querySelector("template.raw").content.textContent;
    try { await navigator.clipboard.writeText(text); } catch { return; }
    const icon = button.querySelector("use");
    icon.setAttribute("href", "#i-check");
    setTimeout(() => icon.setAttribute("href", "#i-copy"), 1400);
  }

  const doing = {
    theme: () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("colloquy_theme", root.dataset.theme); } catch { /* private window */ }
    },
    evidence: () => sources.open(!sources.isOpen(), true),
    sources: (el) => { sources.show(el.closest(".answer")); sources.open(true, true); },
    close: () => sources.open(false),
    copy,
    rerun,
  };

  document.addEventListener("click", (event) => {
    const cite = event.target.closest(".cite");
    if (cite) sources.visit(cite);
    else { const el = event.target.closest("[data-do]"); doing[el?.dataset.do]?.(el); }
  });
  for (const [name, on] of [["pointerover", true], ["pointerout", false]]) {
    document.addEventListener(name, (event) => { const cite = event.target.closest?.(".cite"); if (cite) sources.hover(cite, on); });
  }
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !sources.wide()) sources.open(false); });
  document.querySelector(".onward").addEventListener("submit", fork);
  for (const time of document.querySelectorAll("time")) {
    const at = new Date(time.dateTime);
    time.textContent = at.toLocaleDateString(root.dataset.lang === "zh" ? "zh-CN" : navigator.language, { year: "numeric", month: "long", day: "numeric" });
    time.title = at.toLocaleString();
  }
  if (document.body.dataset.kind === "chat") {
    const answers = document.querySelectorAll("#thread .answer");
    sources.show(answers[answers.length - 1] || null);
  }
  live.follow(document, root.dataset.lang, hooks);
  document.body.classList.add("ready");
})();
