// Draws live answers. Each answer element has one event stream; every message is a patch that says what to replace.
// The first message of a connection holds the whole answer, so nothing here remembers what was drawn before.
window.colloquy = {
  // As `i18n.text` says it.
  t: (key, values = {}) => {
    const strings = window.colloquyStrings[document.documentElement.dataset.lang];
    const sentence = (values.n === 1 && strings[`${key}_one`]) || (strings[key] ?? key);
    const written = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : value);
    return sentence.replace(/\{(\w+)\}/g, (all, name) => written(values[name] ?? all));
  },
};
(() => {
  "use strict";
  const LOST_MS = 2500;
  const streams = new Map();

  function apply(answer, patch) {
    const { trace } = window.colloquy;
    if (patch.html !== undefined) trace.keep(answer, () => { answer.innerHTML = patch.html; });
    if (patch.steps) trace.steps(answer, patch.steps);
    for (const [name, html] of Object.entries(patch.regions || {})) {
      window.colloquy.waiting.replace(answer.querySelector(`[data-r="${name}"]`), html);
    }
    if (patch.blocks) answer.querySelector(".blocks").insertAdjacentHTML("beforeend", patch.blocks);
    if (patch.tail !== undefined) {
      const tail = answer.querySelector(".tail");
      tail.dataset.kind = patch.kind;
      const places = tail.querySelectorAll("p, li, h1, h2, h3, h4, h5, h6, td");
      if (patch.drawn !== undefined) tail.innerHTML = patch.drawn.trimEnd();
      else if (patch.html !== undefined || patch.blocks) tail.textContent = patch.tail;
      else (places[places.length - 1] || tail).append(patch.tail);
    }
  }

  // `on`: drawn(answer, patch) after each patch, ended(answer, phase, line), gone(answer), lost(answer, isLost).
  function connect(answer, lang, on) {
    const own = `/ui/generations/${encodeURIComponent(answer.dataset.g)}/live`;
    const url = `${answer.dataset.live || own}?lang=${lang}${answer.closest(".col") ? "&column=1" : ""}`;
    const source = new EventSource(url);
    const stream = { source, timer: 0 };
    streams.set(answer, stream);
    source.onmessage = (event) => {
      clearTimeout(stream.timer);
      stream.timer = 0;
      on.lost(answer, false);
      const patch = JSON.parse(event.data);
      apply(answer, patch);
      if (patch.end) {
        close(answer);
        answer.removeAttribute("data-live");
      }
      on.drawn(answer, patch);
      if (patch.end) on.ended(answer, patch.end, answer.querySelector("[data-r=status]").textContent.trim());
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        close(answer);
        on.gone(answer);
      } else if (!stream.timer) {
        stream.timer = setTimeout(() => on.lost(answer, true), LOST_MS);
      }
    };
  }

  function close(answer) {
    const stream = streams.get(answer);
    if (!stream) return;
    clearTimeout(stream.timer);
    stream.source.close();
    streams.delete(answer);
  }

  // Follow every live answer inside `root`, and forget those that are no longer on the page.
  function follow(root, lang, on) {
    for (const answer of [...streams.keys()]) if (!answer.isConnected) close(answer);
    for (const answer of root.querySelectorAll(".answer[data-live]")) if (!streams.has(answer)) connect(answer, lang, on);
  }

  function closeAll() {
    for (const answer of [...streams.keys()]) close(answer);
  }

  window.colloquy.live = { follow, closeAll };
})();
