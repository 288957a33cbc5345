// Waiting made visible: the place in the line moves up, the seconds count down, and the tab says when an answer begins.
(() => {
  "use strict";
  const { t } = window.colloquy;
  const JITTER_S = 2;
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const now = () => performance.now() / 1000;
  const heard = new WeakMap();
  let base = "Colloquy";
  let prefix = "";
  let news = false;
  let ticking = 0;

  // A length of time as people say it.
  function clock(seconds) {
    if (seconds < 100) return t("time.s", { n: Math.max(1, Math.ceil(seconds)) });
    if (seconds < 6000) return t("time.min", { n: Math.ceil(seconds / 60) });
    return t("time.h", { n: Math.ceil(seconds / 3600) });
  }

  // Put `html` in the place of `old`. Of two places in the line the first is changed into the second, so that it moves.
  function replace(old, html) {
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const next = fresh.content.firstElementChild;
    if (!old.matches(".queued") || !next?.matches(".queued")) { old.outerHTML = html; return; }
    if (old.dataset.ahead !== next.dataset.ahead) step(old.querySelector(".row"), next.querySelector(".row"));
    old.dataset.ahead = next.dataset.ahead;
    const [why, text] = [old.querySelector(".why"), next.querySelector(".why").textContent];
    if (why.textContent !== text) why.textContent = text;
    const eta = old.querySelector(".eta");
    eta.dataset.eta = next.querySelector(".eta").dataset.eta;
    const until = now() + Number(eta.dataset.eta);
    if (!(Math.abs(until - eta.until) < JITTER_S)) eta.until = until;
  }

  // Those in front leave through the door, and everybody behind them moves up.
  function step(row, next) {
    const here = row.querySelectorAll("i:not(.you, .gone)");
    const gone = here.length - next.querySelectorAll("i:not(.you)").length;
    if (gone < 0 || calm()) { row.replaceChildren(...next.childNodes); return; }
    row.querySelector("b")?.remove();
    if (next.querySelector("b")) row.prepend(next.querySelector("b"));
    for (const dot of [...here].slice(0, gone)) {
      dot.classList.add("gone");
      setTimeout(() => dot.remove(), 400);
    }
  }

  function tick() {
    const all = document.querySelectorAll(".queued .eta");
    for (const eta of all) {
      eta.until ??= now() + Number(eta.dataset.eta);
      const left = eta.until - now();
      const text = left > 0.5 ? t("queue.eta", { s: clock(left) }) : Number(eta.dataset.eta) ? t("queue.soon") : "";
      if (eta.textContent !== text) eta.textContent = text;
    }
    if (!all.length) { clearInterval(ticking); ticking = 0; }
  }

  // After each patch: count down, and show in the tab how it goes. Returns what screen readers should hear: each new place.
  function watch(answer) {
    const status = answer.querySelector(".status");
    const was = heard.get(answer);
    const is = status.matches(".queued") ? status.querySelector(".why").textContent : "";
    heard.set(answer, is);
    if (is) {
      if (!ticking) ticking = setInterval(tick, 1000);
      tick();
      prefix = Number(status.dataset.ahead) ? `(${Number(status.dataset.ahead) + 1}) ` : "";
    } else prefix = "";
    if (was && !is) {
      if (document.hidden) shine(true);
      write();
      return status.dataset.phase === "running" ? t("queue.begun") : "";
    }
    write();
    return is === was ? "" : is;
  }

  function write() {
    const text = (news ? "● " : prefix) + base;
    if (document.title !== text) document.title = text;
  }

  function shine(on) {
    news = on;
    const icon = document.querySelector("link[rel=icon]");
    icon.dataset.plain ??= icon.getAttribute("href");
    icon.href = on ? icon.dataset.news : icon.dataset.plain;
    write();
  }

  function title(text) {
    base = text ? `${text} · Colloquy` : "Colloquy";
    if (!document.querySelector("#thread .queued")) prefix = "";
    write();
  }

  document.addEventListener("visibilitychange", () => { if (!document.hidden && news) shine(false); });

  window.colloquy.waiting = { replace, watch, title, clock };
})();
