// The columns: how many there are, what each shows, and which one is in view where they do not fit beside each other.
// A column is drawn again only when its answer is another one, so no column ever touches the stream of its neighbours.
(() => {
  "use strict";
  const { t, sides, live, lead } = window.colloquy;
  const $ = (id) => document.getElementById(id);
  const LETTERS = "abcd";
  const MOST = 4;
  const FEWEST = 2;
  const SHORT = 230;
  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const all = () => [...$("cols").querySelectorAll(".col")];
  const running = () => all().filter((col) => col.dataset.phase === "live");

  function create(side) {
    const col = $("column").content.firstElementChild.cloneNode(true);
    $("cols").querySelector(".adder").before(col);
    sides.dress(col, side);
    return col;
  }

  // As many columns as `wanted` says, none of them with an answer.
  function set(wanted) {
    $("cols").replaceChildren($("adder").content.firstElementChild.cloneNode(true));
    const known = wanted.slice(0, MOST).map((side) => sides.dress(create(side), side));
    for (const col of all()) plain(col);
    count();
    return known.every(Boolean);
  }

  function add() {
    const cols = all();
    if (cols.length >= MOST) return;
    const used = new Set(cols.map((col) => sides.of(col).pipeline));
    const options = [...cols[0].querySelector("[data-pick=pipeline]").options].map((option) => option.value);
    const fresh = options.find((value) => !used.has(value)) ?? options[0];
    const col = create({ pipeline: fresh, corpus: sides.of(cols[0]).corpus, params: {} });
    plain(col);
    count();
    reveal(col);
    col.querySelector("select").focus();
  }

  function remove(col) {
    if (all().length <= FEWEST) return;
    const next = col.nextElementSibling?.matches(".col") ? col.nextElementSibling : col.previousElementSibling;
    col.remove();
    count();
    next?.querySelector("select").focus();
  }

  // A column that was not asked yet says what its pipeline does.
  function plain(col) {
    col.ran = null;
    col.g = "";
    col.key = "";
    col.removeAttribute("data-hidden");
    col.removeAttribute("data-won");
    col.dataset.phase = "plain";
    col.querySelector(".by").textContent = "";
    const text = document.createElement("p");
    text.className = "about";
    text.textContent = sides.about(col);
    col.querySelector(".result").replaceChildren(text);
  }

  function changed(col) {
    if (!col.g) plain(col);
    mark(col);
    names();
    sides.remember(all());
  }

  // The answers as the server tells them. Columns that were added since and not asked yet stay, when `same` it is.
  function show(told, same) {
    const cols = all();
    told.forEach((column, index) => {
      const col = cols[index] || create(column.side || sides.of(cols[0]));
      const key = `${column.g} ${column.live} ${column.hidden}`;
      const unmasked = col.hasAttribute("data-hidden") && !column.hidden;
      if (column.side && (col.g !== column.g || unmasked)) sides.dress(col, column.side);
      if (column.side && unmasked) sides.remember(all());
      col.ran = column.side;
      col.g = column.g;
      col.toggleAttribute("data-hidden", column.hidden);
      col.toggleAttribute("data-won", column.won);
      col.classList.toggle("revealed", unmasked);
      col.querySelector(".by").textContent = column.model;
      if (col.key !== key) {
        col.querySelector(".result").innerHTML = column.html;
        shelf(col);
      }
      col.key = key;
      col.dataset.phase = column.live ? "live" : "ended";
    });
    for (const col of cols.slice(told.length)) if (!same || col.g) col.remove();
    all().forEach(mark);
    count();
  }

  // The stream of its answer has ended: what is drawn is what the server has now.
  function ended(answer) {
    const col = answer.closest(".col");
    col.key = `${col.g} false ${col.hasAttribute("data-hidden")}`;
    col.dataset.phase = "ended";
    all().forEach(mark);
  }

  // Which buttons a column has, and how its answer went. Before a blind vote only an answer that did not come to its end
  // is run again, once all have ended.
  function mark(col) {
    const phase = col.dataset.phase;
    const how = col.querySelector(".status")?.dataset.phase || "";
    const waits = col.hasAttribute("data-hidden") && (how === "done" || running().length > 0);
    const again = col.querySelector("[data-do=again]");
    col.querySelector("[data-do=stop-one]").hidden = phase !== "live";
    again.hidden = phase !== "ended" || waits;
    again.toggleAttribute("data-changed", !again.hidden && sides.differs(col));
    col.querySelector("[data-do=copy]").hidden = phase !== "ended" || !col.querySelector("template.raw")?.content.textContent;
    col.dataset.how = how;
    tabs();
  }

  // Letters, the way to one more, and the room that all of them have.
  function count() {
    const cols = all();
    cols.forEach((col, index) => {
      col.dataset.letter = LETTERS[index];
      col.querySelector(".letter").textContent = LETTERS[index].toUpperCase();
      col.querySelector("[data-do=remove]").hidden = cols.length <= FEWEST || !!col.g;
    });
    $("cols").dataset.n = cols.length;
    $("cols").querySelector(".adder").hidden = cols.length >= MOST || !!$("cols").querySelector("[data-hidden]");
    names();
  }

  function names() {
    for (const col of all()) {
      const name = col.hasAttribute("data-hidden") ? t("cmp.masked") : sides.title(col);
      col.setAttribute("aria-label", t("cmp.column", { letter: col.dataset.letter.toUpperCase(), name }));
    }
    tabs();
  }

  // ---- one at a time -----------------------------------------------------------------------------------------------
  function tabs() {
    const cols = all();
    const bar = $("tabs");
    while (bar.childElementCount > cols.length) bar.lastChild.remove();
    cols.forEach((col, index) => {
      const tab = bar.children[index] || bar.appendChild(Object.assign(document.createElement("button"), { type: "button" }));
      const name = col.getAttribute("aria-label") || "";
      tab.dataset.do = "tab";
      Object.assign(tab.dataset, { letter: col.dataset.letter || "", phase: col.dataset.phase || "", how: col.dataset.how || "" });
      tab.setAttribute("aria-label", name);
      const text = col.hasAttribute("data-hidden") ? "" : sides.title(col);
      if (tab.dataset.text === text && tab.childElementCount) return;
      tab.dataset.text = text;
      const letter = Object.assign(document.createElement("b"), { textContent: LETTERS[index].toUpperCase() });
      tab.replaceChildren(letter, Object.assign(document.createElement("span"), { textContent: text }), document.createElement("i"));
    });
    current();
  }

  // The column in view: the first at the left end of the row, the last at its right end.
  function current() {
    const row = $("cols");
    const room = row.scrollWidth - row.clientWidth;
    const at = room > 1 ? Math.round((row.scrollLeft / room) * (all().length - 1)) : 0;
    [...$("tabs").children].forEach((tab, index) => {
      if (index === at) tab.setAttribute("aria-current", "true"); else tab.removeAttribute("aria-current");
    });
  }

  function reveal(col) { col.scrollIntoView({ inline: "center", block: "nearest", behavior: calm() ? "auto" : "smooth" }); }

  // ---- sources -----------------------------------------------------------------------------------------------------
  function shelf(col) {
    const template = col.querySelector("template.sources");
    const place = col.querySelector(".shelf");
    if (!template || !place) return;
    place.hidden = !template.content.querySelector(".card");
    place.querySelector("summary span").textContent = template.dataset.found;
    place.querySelector(".cards").replaceChildren(template.content.cloneNode(true));
    for (const text of place.querySelectorAll(".text")) if (text.textContent.length > SHORT) text.classList.add("short");
  }

  function visit(cite) {
    const col = cite.closest(".col") || all().find((other) => other.dataset.letter === cite.dataset.letter);
    const card = col?.querySelector(`.shelf .card[data-n="${cite.dataset.n}"]`);
    if (!card) return;
    col.querySelector(".shelf").open = true;
    lead(card, cite.dataset.c);
  }

  function follow(hooks) { live.follow($("cols"), document.documentElement.dataset.lang, hooks); }

  function listen() {
    let waiting = 0;
    $("cols").addEventListener("scroll", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(current); }, { passive: true });
    $("cols").addEventListener("click", (event) => { if (event.target.matches(".text.short")) event.target.classList.remove("short"); });
  }

  window.colloquy.columns = { all, running, set, add, remove, changed, show, ended, mark, shelf, visit, reveal, follow, listen };
})();
