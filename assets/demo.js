// A demo's page: ask, follow the answers, look at their sources. Who the visitor is, says a token that is kept here and
// sent with each call, because in a frame of another site no cookie is.
(() => {
  "use strict";
  const { t, live, lead } = window.colloquy;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const { name } = document.body.dataset;
  const lang = root.dataset.lang;
  const store = {
    get: (key) => { try { return localStorage.getItem(`colloquy_${key}`); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(`colloquy_${key}`, value); } catch { /* a frame without storage */ } },
  };
  const STILL_THERE_MS = 5000;
  let visitor = store.get(`demo_${name}`) || document.body.dataset.visitor;
  let sending = false;
  let timer = 0;
  keep(visitor);

  function keep(token) { visitor = token; store.set(`demo_${name}`, token); }

  // ---- calls -------------------------------------------------------------------------------------------------------
  async function send(method, path, body) {
    const headers = { "Colloquy-Visitor": visitor };
    if (body) headers["Content-Type"] = "application/json";
    let answer;
    try { answer = await fetch(path, { method, headers, body: body && JSON.stringify(body), credentials: "omit", cache: "no-store" }); }
    catch { notice(t("demo.offline")); return null; }
    if (answer.ok) return answer;
    const error = await answer.json().then((shape) => shape.error, () => ({}));
    if (answer.status === 404 || error.code === "demo_early") { gone(); return null; }
    const wait = Math.ceil(error.retry_after_s || 0);
    notice(lang === "en" && error.message ? error.message : window.colloquyStrings[lang][`error.${error.code}`] || t("error.error"), wait);
    return null;
  }

  // For trace.js, which asks for the steps of an answer when they are unfolded.
  window.colloquy.calls = {
    call: async ({ g }) => {
      const answer = await send("GET", `/ui/d/${name}/trace/${g}?lang=${lang}`);
      return answer ? answer.json() : { error: { text: t("error.error") } };
    },
  };

  function notice(text, wait = 0) {
    clearTimeout(timer);
    $("notice").hidden = !text;
    $("notice").textContent = text && wait > 1 && wait < 600 ? `${text} ${t("demo.again_in", { s: wait })}` : text;
    if (text) timer = setTimeout(() => notice(""), Math.max(8, Math.min(wait, 60)) * 1000);
  }

  function gone() {
    live.closeAll();
    for (const part of document.querySelectorAll("#app > :not(#gone)")) part.hidden = true;
    $("gone").hidden = false;
  }

  // ---- the thread --------------------------------------------------------------------------------------------------
  async function load() {
    const answer = await send("GET", `/ui/d/${name}/thread?lang=${lang}`);
    if (!answer) return;
    const fresh = document.createElement("template");
    fresh.innerHTML = await answer.text();
    const old = new Map([...$("thread").children].map((node) => [node.id, node]));
    const nodes = [...fresh.content.children].map((node) => (old.has(node.id) ? old.get(node.id) : node));
    $("thread").replaceChildren(...nodes);
    document.body.classList.toggle("begun", nodes.length > 0);
    $("question").placeholder = t(nodes.length && !document.body.matches(".wide") ? "ask.follow" : "ask.placeholder");
    for (const one of $("thread").querySelectorAll(".answer:not([data-live])")) cards(one);
    live.follow($("thread"), lang, hooks);
    buttons();
    end();
  }

  const hooks = {
    drawn(answer, patch) {
      const news = window.colloquy.waiting.watch(answer);
      if (patch.say || news) $("said").textContent = patch.say || news;
      if (patch.html !== undefined || patch.regions?.sources) cards(answer);
      if (following) end();
    },
    ended(answer) { cards(answer); ballot(answer.closest(".turn")); buttons(); },
    gone(answer) { answer.closest(".turn")?.remove(); setTimeout(load, 1000); },
    lost(answer, isLost) { notice(isLost ? t("demo.offline") : ""); },
  };

  // Answers are voted on when all of them have ended, and once.
  function ballot(turn) {
    const open = turn?.querySelector(".ballot");
    if (open) open.hidden = !!turn.querySelector(".answer[data-live]");
  }

  async function vote(button) {
    const open = button.closest(".ballot");
    const choices = [...open.querySelectorAll("button")];
    for (const choice of choices) choice.disabled = true;
    const { winner, said } = button.dataset;
    const question = open.closest(".turn").id.slice(2);
    if (await send("POST", `/api/d/${name}/questions/${question}/vote`, { winner })) {
      const voted = Object.assign(document.createElement("p"), { className: "voted", textContent: said });
      voted.dataset.testid = "voted";
      open.replaceWith(voted);
      $("said").textContent = said;
    } else for (const choice of choices) choice.disabled = false;
  }

  // The sources of an answer, below it.
  function cards(answer) {
    const from = answer.parentElement.querySelector(".from");
    const template = answer.querySelector("template.sources");
    from.hidden = !template?.content.querySelector(".card");
    from.querySelector("span").textContent = template?.dataset.found ?? "";
    from.querySelector(".cards").replaceChildren(...(from.hidden ? [] : [template.content.cloneNode(true)]));
  }

  function visit(button) {
    const from = button.closest(".side").querySelector(".from");
    const card = from.querySelector(`.card[data-n="${button.dataset.n}"]`);
    if (!card) return;
    from.open = true;
    lead(card, button.dataset.c);
  }

  let following = true;
  const scroller = document.querySelector("main");
  function end() { if ($("thread").childElementCount) scroller.scrollTop = scroller.scrollHeight; }
  scroller.addEventListener("scroll", () => { following = scroller.scrollHeight - scroller.scrollTop - scroller.clientHeight < 60; }, { passive: true });

  // ---- asking ------------------------------------------------------------------------------------------------------
  const running = () => [...$("thread").querySelectorAll(".answer[data-live]")];

  function buttons() {
    const busy = running().length > 0;
    $("stop").hidden = !busy;
    $("send").hidden = busy;
    $("send").disabled = sending || !$("question").value.trim();
  }

  async function ask(text) {
    if (!text.trim() || sending || running().length) return;
    sending = true;
    following = true;
    buttons();
    notice("");
    const answer = await send("POST", `/api/d/${name}/questions`, { question: text });
    sending = false;
    if (answer) {
      keep((await answer.json()).visitor);
      $("question").value = "";
      await load();
    }
    buttons();
  }

  document.addEventListener("submit", (event) => { event.preventDefault(); ask($("question").value); });
  $("question").addEventListener("input", buttons);
  $("question").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) { event.preventDefault(); ask($("question").value); }
  });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { do: deed } = button.dataset;
    if (button.matches(".cite")) visit(button);
    else if (deed === "vote") vote(button);
    else if (deed === "example") ask(button.textContent);
    else if (deed === "again") ask(button.closest(".turn").querySelector(".question").textContent);
    else if (deed === "sources") { const from = button.closest(".side").querySelector(".from"); from.open = !from.open; }
    else if (deed === "stop") for (const one of running()) send("POST", `/api/d/${name}/generations/${one.dataset.g}/stop`);
    else if (deed === "copy") {
      navigator.clipboard?.writeText(button.closest(".answer").querySelector("template.raw").content.textContent).then(() => { $("said").textContent = t("turn.copied"); });
    } else if (deed === "theme") {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      store.set("theme", root.dataset.theme);
    } else if (deed === "language") {
      document.cookie = `colloquy_lang=${lang === "en" ? "zh" : "en"}; path=/; max-age=31536000; samesite=lax`;
      const here = new URL(location.href); // in a frame the cookie stays away, so the address says it too
      here.searchParams.set("lang", lang === "en" ? "zh" : "en");
      location.assign(here);
    }
  });
  // A page on which nothing happens asks now and then whether the demo is still there.
  setInterval(() => { if (!document.hidden && !running().length && $("gone").hidden) send("GET", `/api/d/${name}`); }, STILL_THERE_MS);
  load().then(() => document.body.classList.add("ready"));
})();
