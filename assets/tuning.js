// The settings of the chosen pipeline: a form that the server draws and checks, value by value. What differs from the
// defaults, and is allowed, is remembered in this browser for each pipeline, and sent with every question.
(() => {
  "use strict";
  const { t, calls } = window.colloquy;
  const $ = (id) => document.getElementById(id);
  const KEY = "colloquy_params";
  let memory = read();
  let asked = 0;

  function read() {
    try { return JSON.parse(localStorage.getItem(KEY)) || {}; } catch { return {}; }
  }

  function remember(pipeline, changed) {
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
    const turn = ++asked;
    const pipeline = $("pipeline").value;
    const reply = await calls.call({ do: "tune", pipeline, params: of(pipeline) });
    if (turn !== asked) return;
    if (reply.error) { $("tuning").textContent = reply.error.text || ""; return; }
    $("tuning").innerHTML = reply.form;
    remember(pipeline, reply.changed);
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

  // Every value that is not the default goes to the server, which says what is wrong and which of them count.
  async function changed() {
    const form = $("tune-form");
    const params = {};
    for (const box of form.elements) {
      if (!box.name) continue;
      const value = box.type === "checkbox" ? String(box.checked) : box.value;
      if (value !== box.dataset.default && (value !== "" || box.validity.badInput)) params[box.name] = value;
    }
    const turn = ++asked;
    const reply = await calls.call({ do: "tune", pipeline: form.dataset.pipeline, params });
    if (turn !== asked || reply.error) return;
    for (const row of form.querySelectorAll(".row")) {
      const name = row.dataset.name;
      row.toggleAttribute("data-changed", name in reply.changed || name in reply.wrong);
      row.querySelector(".wrong").textContent = reply.wrong[name] || "";
      row.querySelector("[name]").toggleAttribute("aria-invalid", name in reply.wrong);
    }
    remember(form.dataset.pipeline, reply.changed);
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
