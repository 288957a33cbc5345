// From a citation to the places in a passage that it rests on.
(() => {
  "use strict";
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  // While an answer is written its places are not known yet: the whole passage is marked.
  function marksOf(card, citation) {
    const all = [...card.querySelectorAll("mark")];
    const own = all.filter((mark) => mark.dataset.c?.split(" ").includes(citation));
    if (all.length) return own.length ? own : all;
    const whole = document.createElement("mark");
    const text = card.querySelector(".text");
    whole.append(...text.childNodes);
    text.append(whole);
    return [whole];
  }

  function lead(card, citation) {
    for (const old of document.querySelectorAll(".flash")) old.classList.remove("flash");
    const marks = marksOf(card, citation);
    card.querySelector(".text").classList.remove("short");
    void card.offsetWidth;
    for (const part of [card, ...marks]) part.classList.add("flash");
    marks[0].scrollIntoView({ block: "center", behavior: calm() ? "auto" : "smooth" });
    card.focus({ preventScroll: true });
  }

  window.colloquy.lead = lead;
})();
