// The publisher's list of demos: publish, change, switch off, delete, copy what is to be given away.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const { lang } = root.dataset;
  const strings = window.colloquyStrings[lang];
  const form = $("form");
  const FIELDS = { demo_taken: "name", demo_window: "closes_at" };
  let editing = "";

  async function send(method, path, body) {
    let answer;
    try { answer = await fetch(path, { method, headers: body ? { "Content-Type": "application/json" } : {}, body: body && JSON.stringify(body) }); }
    catch { toast(strings["demo.offline"]); return null; }
    if (answer.ok) return answer.status === 204 ? {} : answer.json();
    if (answer.status === 401) { location.assign("/login?next=/demos"); return null; }
    return { error: (await answer.json().catch(() => ({}))).error || { message: strings["error.error"] } };
  }

  async function refresh() {
    const answer = await fetch("/ui/demos/list").catch(() => null);
    if (!answer?.ok) return;
    $("list").innerHTML = await answer.text();
    times();
  }

  function times() {
    for (const time of document.querySelectorAll("time[data-at]")) {
      time.textContent = new Date(Number(time.dataset.at) * 1000).toLocaleString(lang === "zh" ? "zh-CN" : navigator.language, { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
    }
  }

  function toast(text) {
    clearTimeout(toast.timer);
    $("toast").textContent = text;
    $("toast").hidden = false;
    toast.timer = setTimeout(() => { $("toast").hidden = true; }, 4000);
  }

  function sure(text, label) {
    $("sure-text").textContent = text;
    $("sure").querySelector("[value=yes]").textContent = label;
    $("sure").showModal();
    return new Promise((settle) => { $("sure").onclose = () => settle($("sure").returnValue === "yes"); });
  }

  // ---- the form ----------------------------------------------------------------------------------------------------
  function addSide(side = {}) {
    const row = $("side").content.firstElementChild.cloneNode(true);
    for (const name of ["pipeline", "corpus", "engine"]) {
      const select = row.querySelector(`[data-side=${name}]`);
      if (select && side[name]) select.value = side[name];
    }
    row.querySelector("[data-side=params]").value = Object.entries(side.params || {}).map(([name, value]) => `${name}=${value}`).join(", ");
    $("sides").append(row);
    limit();
  }

  const limit = () => { form.querySelector("[data-do=add]").hidden = $("sides").childElementCount >= 4; };

  // "top_k=3, chain=true" as values; null when it is not written like that.
  function params(text) {
    const found = {};
    for (const part of text.split(",").filter((piece) => piece.trim())) {
      const [name, ...rest] = part.split("=");
      const value = rest.join("=").trim();
      if (!name.trim() || !value) return null;
      found[name.trim()] = /^(true|false)$/.test(value) ? value === "true" : /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : value;
    }
    return found;
  }

  const local = (iso) => { const at = new Date(iso); return new Date(at - at.getTimezoneOffset() * 60000).toISOString().slice(0, 16); };

  function open(demo) {
    editing = demo?.id || "";
    form.reset();
    wrong({});
    $("sides").replaceChildren();
    $("editor-title").textContent = strings[editing ? "demos.edit" : "demos.new"];
    $("save").textContent = strings[editing ? "demos.save" : "demos.publish"];
    const f = form.elements;
    if (demo) {
      for (const name of ["title", "name", "welcome", "per_day", "visitor_per_day", "accent"]) if (demo[name] !== undefined) f[name].value = demo[name];
      if (demo.examples) f.examples.value = demo.examples.join("\n");
      for (const name of ["opens_at", "closes_at"]) if (demo[name]) f[name].value = local(demo[name]);
      for (const box of form.querySelectorAll("[name=origins]")) box.checked = !!demo.origins?.includes(box.value);
    }
    for (const side of demo?.sides || [{}]) addSide(side);
    $("editor").showModal();
    f.title.focus();
  }

  function wrong(said) {
    for (const place of form.querySelectorAll("[data-wrong]")) {
      place.textContent = said[place.dataset.wrong] || "";
      const field = form.elements[place.dataset.wrong];
      if (field?.toggleAttribute) { if (said[place.dataset.wrong]) field.setAttribute("aria-invalid", "true"); else field.removeAttribute("aria-invalid"); }
    }
    const first = form.querySelector(".wrong:not(:empty)");
    first?.scrollIntoView({ block: "center" });
  }

  async function save() {
    const f = form.elements;
    const sides = [...$("sides").children].map((row) => ({
      pipeline: row.querySelector("[data-side=pipeline]").value,
      corpus: row.querySelector("[data-side=corpus]").value,
      engine: row.querySelector("[data-side=engine]")?.value || "",
      params: params(row.querySelector("[data-side=params]").value),
    }));
    if (sides.some((side) => side.params === null)) { wrong({ sides: strings["demos.bad_params"] }); return; }
    const time = (name) => (f[name].value ? new Date(f[name].value).toISOString() : null);
    const demo = {
      title: f.title.value, welcome: f.welcome.value, examples: f.examples.value.split("\n").filter((line) => line.trim()), sides,
      accent: f.accent.value, opens_at: time("opens_at"), closes_at: time("closes_at"),
      per_day: Number(f.per_day.value), visitor_per_day: Number(f.visitor_per_day.value),
      origins: [...form.querySelectorAll("[name=origins]:checked")].map((box) => box.value),
    };
    if (f.name.value.trim() || editing) demo.name = f.name.value.trim();
    $("save").disabled = true;
    const reply = await send(editing ? "PATCH" : "POST", editing ? `/api/demos/${editing}` : "/api/demos", demo);
    $("save").disabled = false;
    if (!reply) return;
    if (reply.error) {
      const { code, message } = reply.error;
      const field = FIELDS[code] || code.replace("demo_", "");
      wrong({ [form.querySelector(`[data-wrong="${CSS.escape(field)}"]`) ? field : "form"]: strings[`wrong.${code}`] || message });
      return;
    }
    $("editor").close();
    toast(strings["demos.saved"]);
    refresh();
  }

  // ---- deeds -------------------------------------------------------------------------------------------------------
  async function deed(button, id) {
    const { do: what } = button.dataset;
    if (what === "edit") { const demo = await send("GET", `/api/demos/${id}`); if (demo && !demo.error) open(demo); return; }
    if (what === "delete" && !(await sure(strings["demos.delete_ask"], strings["demos.delete"]))) return;
    const on = !!button.dataset.on;
    const reply = what === "delete" ? await send("DELETE", `/api/demos/${id}`) : await send("PATCH", `/api/demos/${id}`, { on });
    if (reply?.error) toast(reply.error.message);
    else if (reply) toast(strings[what === "delete" ? "demos.deleted" : on ? "demos.switched_on" : "demos.switched_off"]);
    refresh();
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const data = button.dataset;
    if (button.closest("#sure")) $("sure").close(button.value);
    else if (data.copy) navigator.clipboard.writeText(data.copy).then(() => toast(strings["demos.copied"]));
    else if (data.do === "new") open(null);
    else if (data.do === "close") $("editor").close();
    else if (data.do === "add") addSide();
    else if (data.do === "remove") { button.closest(".side-row").remove(); limit(); }
    else if (["edit", "switch", "delete"].includes(data.do)) deed(button, button.closest("[data-id]").dataset.id);
    else if (data.do === "theme") {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("colloquy_theme", root.dataset.theme); } catch { /* private window */ }
    } else if (data.do === "language") {
      document.cookie = `colloquy_lang=${lang === "en" ? "zh" : "en"}; path=/; max-age=31536000; samesite=lax`;
      location.reload();
    }
  });
  document.addEventListener("submit", (event) => { event.preventDefault(); if (event.target === form) save(); });
  times();
  // /demos?pipeline=naive&corpus=demo begins with that set-up; more pairs are more sides.
  const wanted = new URLSearchParams(location.search);
  if (wanted.has("pipeline")) {
    const corpora = wanted.getAll("corpus");
    open({ sides: wanted.getAll("pipeline").slice(0, 4).map((pipeline, i) => ({ pipeline, corpus: corpora[i] || corpora[0] })) });
  }
  document.body.classList.add("ready");
})();
