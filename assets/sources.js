// The panel of sources: shows the cards of one answer, and leads from a citation to its place in a passage.
(() => {
  "use strict";
  const { lead } = window.colloquy;
  const WIDE = matchMedia("(min-width: 1180px)");
  let shown = null;
  let cameFrom = null;

  const panel = () => document.getElementById("evidence");
  const list = () => document.getElementById("sources");
  const toggle = () => document.getElementById("show-sources");
  const isOpen = () => document.body.classList.contains(WIDE.matches ? "evidence-wide" : "evidence-over");

  function remembered() {
    try { return localStorage.getItem("colloquy_sources") !== "closed"; } catch { return true; }
  }

  function open(yes, byHand = false) {
    document.body.classList.toggle(WIDE.matches ? "evidence-wide" : "evidence-over", yes);
    toggle().setAttribute("aria-expanded", String(yes));
    if (byHand && WIDE.matches) {
      try { localStorage.setItem("colloquy_sources", yes ? "open" : "closed"); } catch { /* private window */ }
    }
    if (!yes && cameFrom && cameFrom.isConnected && panel().contains(document.activeElement)) cameFrom.focus();
    if (!yes) cameFrom = null;
  }

  // Show the sources of `answer` (null: of none).
  function show(answer) {
    const template = answer && answer.querySelector("template.sources");
    const cards = template ? template.content.querySelectorAll(".card").length : 0;
    shown = answer;
    list().replaceChildren(...(template ? [template.content.cloneNode(true)] : []));
    for (const text of list().querySelectorAll(".card:not(.cited) .text")) shorten(text);
    toggle().hidden = !cards;
    document.body.classList.toggle("has-sources", cards > 0);
    if (!cards) open(false);
    else if (WIDE.matches) open(remembered());
  }

  function shorten(text) {
    if (text.textContent.length < 260) return;
    text.classList.add("short");
    const more = Object.assign(document.createElement("button"), { type: "button", className: "more", textContent: window.colloquy.t("sources.more") });
    more.setAttribute("aria-expanded", "false");
    more.onclick = () => {
      const short = text.classList.toggle("short");
      more.textContent = window.colloquy.t(short ? "sources.more" : "sources.less");
      more.setAttribute("aria-expanded", String(!short));
    };
    text.after(more);
  }

  // From a citation to its card and the places it rests on.
  function visit(button) {
    const answer = button.closest(".answer");
    if (answer !== shown || !list().childElementCount) show(answer);
    const card = list().querySelector(`.card[data-n="${button.dataset.n}"]`);
    if (!card) return;
    cameFrom = button;
    open(true);
    lead(card, button.dataset.c);
  }

  function hover(button, on) {
    if (button.closest(".answer") !== shown) return;
    list().querySelector(`.card[data-n="${button.dataset.n}"]`)?.classList.toggle("hot", on);
  }

  WIDE.addEventListener("change", () => {
    document.body.classList.remove("evidence-over", "evidence-wide");
    if (WIDE.matches && document.body.classList.contains("has-sources")) open(remembered());
  });

  window.colloquy.sources = { show, open, visit, hover, isOpen, wide: () => WIDE.matches, shown: () => shown };
})();
