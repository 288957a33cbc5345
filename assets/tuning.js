// The settings of the chosen pipeline: a form that the server draws and checks, value by value. What differs from the
// defaults, and is allowed, is remembered in this browser for each pipeline, and sent with every question.
(() => {
  "use strict";
  const { t, settings } = window.colloquy;
  const $ = (id) => document.getElementById(id);
  const KEY = "colloquy_params";
  let memory = read();

  function read() {
    try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; }
  }

  function remember(pipeline, changed) {
    if (!changed) return;
    memory = { ...read(), [pipeline]: changed };
    if (!Object.keys(changed).length) delete memory[pipeline];
    try { localStorage.setItem(KEY, JSON.stringify(memory)); } catch { /* private window */ }
    badge();
  }

  const of = (pipeline) => memory[pipeline] || {};
  const isOpen = () => $("tuning")?.matches(":popover-open");

  // How many settings of the chosen pipeline are not the defaults, beside the picker.
  function badge() {
    const n = Object.keys(of($("pipeline").value)).length;
    const text = n ? t("tune.changed", { n }) : "";
    $("tuned").textContent = text;
    $("tuned").dataset.n = n || "";
    $("tune").setAttribute("aria-label", [t("tune.open"), text].filter(Boolean).join(": "));
    $("tune").title = t("tune.open");
  }

  async function draw() {
    const pipeline = $("pipeline").value;
    remember(pipeline, await settings.draw($("tuning"), pipeline, of(pipeline)));
  }

  async function toggle() {
    if (isOpen()) { $("tuning").hidePopover(); return; }
    await draw();
    $("tuning").showPopover();
    $("tuning").querySelector("input, select, textarea")?.focus();
  }

  async function reset() {
    remember($("tune-form").dataset.pipeline, {});
    await draw();
    $("tuning").querySelector("[data-do=tune-reset]")?.focus();
  }

  async function changed() {
    const form = $("tune-form");
    remember(form.dataset.pipeline, await settings.check(form));
  }

  function listen() {
    $("tuning").addEventListener("change", changed);
    $("tuning").addEventListener("submit", (event) => { event.preventDefault(); $("tuning").hidePopover(); });
    $("tuning").addEventListener("focusout", (event) => {
      if (event.target.type === "number" && event.target.value === "" && !event.target.validity.badInput) event.target.value = event.target.dataset.default;
    });
  }

  window.colloquy.tuning = { of, badge, toggle, reset, isOpen, listen };
})();
