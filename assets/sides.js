// What each column is asked with: a pipeline, a corpus, an engine where there are several, and the settings that are not
// the defaults, in a form that the server draws and checks. What was chosen last is remembered in this browser.
(() => {
  "use strict";
  const { t, settings } = window.colloquy;
  const $ = (id) => document.getElementById(id);
  const KEY = "colloquy_sides";
  let tuned = null; // the column whose form is open

  const pick = (col, name) => col.querySelector(`[data-pick=${name}]`);
  const has = (select, value) => [...select.options].some((option) => option.value === value);
  const chosen = (col, name) => pick(col, name).selectedOptions[0];
  const searches = (col) => chosen(col, "pipeline")?.dataset.retrieval !== "0";
  const title = (col) => chosen(col, "pipeline")?.querySelector("b")?.textContent || "";
  const about = (col) => chosen(col, "pipeline")?.querySelector("small")?.textContent || "";

  function remembered() {
    try { return JSON.parse(localStorage.getItem(KEY)) || []; } catch { return []; }
  }

  function remember(cols) {
    try { localStorage.setItem(KEY, JSON.stringify(cols.map(of))); } catch { /* private window */ }
  }

  // What the column would be asked with now.
  function of(col) {
    const engine = pick(col, "engine")?.value || "";
    return { pipeline: pick(col, "pipeline").value, corpus: searches(col) ? pick(col, "corpus").value : "", engine, params: col.params || {} };
  }

  // The corpus of the first column that searches; for columns that the server draws.
  const corpus = (cols) => cols.map((col) => of(col).corpus).find(Boolean) || "";

  // Whether the pickers say something else than what the answer was made with.
  function differs(col) {
    const { pipeline, corpus, engine, params } = of(col);
    const ran = col.ran;
    const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());
    return !!ran && !(ran.pipeline === pipeline && (ran.corpus || "") === corpus && ran.engine === engine && same(ran.params, params));
  }

  // Put `side` into the pickers; what the server does not have stays as it was. Returns whether it has it all.
  function dress(col, side) {
    let known = true;
    for (const name of ["pipeline", "corpus", "engine"]) {
      const select = pick(col, name);
      if (select && has(select, side[name])) select.value = side[name];
      else if (side[name]) known = false;
    }
    col.params = { ...side.params };
    badge(col);
    return known;
  }

  function badge(col) {
    const n = Object.keys(col.params || {}).length;
    const text = n ? t("tune.changed", { n }) : "";
    const button = col.querySelector(".tune");
    col.querySelector(".tuned").textContent = n ? n : "";
    button.toggleAttribute("data-changed", n > 0);
    button.setAttribute("aria-label", [t("tune.open"), text].filter(Boolean).join(": "));
    button.title = [t("tune.open"), text].filter(Boolean).join(": ");
    col.querySelector(".pick.corpus").hidden = !searches(col);
  }

  // ---- the form ----------------------------------------------------------------------------------------------------
  const isOpen = () => $("tuning").matches(":popover-open");

  const draw = async () => settle(await settings.draw($("tuning"), of(tuned).pipeline, tuned.params || {}));

  function settle(params) {
    if (!params) return;
    tuned.params = params;
    badge(tuned);
    window.colloquy.columns.changed(tuned);
  }

  async function toggle(col) {
    if (isOpen()) { $("tuning").hidePopover(); return; }
    tuned?.querySelector(".tune").style.removeProperty("anchor-name");
    tuned = col;
    col.querySelector(".tune").style.setProperty("anchor-name", "--tune");
    await draw();
    $("tuning").showPopover();
    $("tuning").querySelector("input, select, textarea")?.focus();
  }

  async function reset() {
    settle({});
    await draw();
    $("tuning").querySelector("[data-do=tune-reset]")?.focus();
  }

  function listen() {
    $("tuning").addEventListener("change", async () => settle(await settings.check($("tune-form"))));
    $("tuning").addEventListener("submit", (event) => { event.preventDefault(); $("tuning").hidePopover(); });
    $("tuning").addEventListener("toggle", (event) => { if (event.newState === "closed") tuned?.querySelector(".tune").focus(); });
    $("cols").addEventListener("change", (event) => {
      const col = event.target.closest(".col");
      if (event.target.dataset.pick === "pipeline") col.params = {};
      badge(col);
      window.colloquy.columns.changed(col);
    });
  }

  window.colloquy.sides = { remembered, remember, of, corpus, differs, dress, badge, title, about, toggle, reset, isOpen, listen };
})();
