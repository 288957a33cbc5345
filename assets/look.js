// How the page looks, which language it speaks, and who reads it.
(() => {
  "use strict";
  const { t, tuning } = window.colloquy;
  const { hint } = window.colloquy.notices;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const store = {
    get: (key) => { try { return localStorage.getItem(`colloquy_${key}`); } catch { return null; } },
    set: (key, value) => { try { localStorage.setItem(`colloquy_${key}`, value); } catch { /* private window */ } },
  };

  function theme(name) {
    root.dataset.theme = name;
    store.set("theme", name);
  }

  function words() {
    root.lang = root.dataset.lang; // Gradio writes the browser's language here
    for (const el of document.querySelectorAll("[data-t]")) el.textContent = t(el.dataset.t);
    for (const el of document.querySelectorAll("[data-t-placeholder]")) el.placeholder = t(el.dataset.tPlaceholder);
    for (const el of document.querySelectorAll("[data-t-label]")) {
      el.setAttribute("aria-label", t(el.dataset.tLabel));
      if (el.matches("button, summary")) el.title = t(el.dataset.tLabel);
    }
    const mod = /Mac|iPhone|iPad/.test(navigator.platform) ? "⌘" : "Ctrl";
    for (const el of document.querySelectorAll("kbd.mod")) el.textContent = el.closest(".find") ? `${mod} K` : mod;
    for (const option of $("pipeline").options) {
      const strings = window.colloquyStrings[root.dataset.lang];
      const [name, text] = [`pipeline.${option.value}`, `summary.${option.value}`];
      option.querySelector("b") && (option.querySelector("b").textContent = strings[name] ?? option.dataset.title);
      option.querySelector("small") && (option.querySelector("small").textContent = strings[text] ?? option.dataset.text);
    }
    for (const group of $("pipeline").querySelectorAll("optgroup")) group.label = t(`family.${group.dataset.family}`);
    hint();
    tuning.badge();
    for (const select of [$("pipeline"), $("by")]) if (select) select.value = select.value; // what is shown is a copy of the option, made when it is chosen
  }

  // The root of the page says what its reader may do and, where there are accounts, who that is: nobody by name for a
  // guest. Without accounts, who sits at the machine runs the server.
  function account() {
    const { user, role } = root.dataset;
    $("user-runs").hidden = user !== undefined || role !== "admin";
    if (user === undefined) return;
    $("user-name").textContent = user;
    $("user").hidden = !user;
    $("user-in").hidden = !!user;
    $("user-admin").hidden = role !== "admin";
  }

  window.colloquy.look = { store, theme, words, account };
})();
