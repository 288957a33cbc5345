// The presenter's view: fetched again while it is looked at; new questions come on top.
(() => {
  "use strict";
  const EVERY_MS = 1200;
  const $ = (id) => document.getElementById(id);
  const root = document.documentElement;
  const { id } = document.body.dataset;
  const strings = window.colloquyStrings[root.dataset.lang];
  const toggle = document.querySelector("[data-do=switch]");
  let shown = "";

  const send = (method, path, body) =>
    fetch(path, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) }).then((answer) => answer.ok, () => false);

  function draw(html) {
    if (html === shown) return;
    shown = html;
    const fresh = document.createElement("template");
    fresh.innerHTML = html;
    const old = new Map([...$("board").children].map((node) => [node.id, node]));
    for (const node of fresh.content.querySelectorAll(".asked-by")) {
      const kept = old.get(node.id); // the text of a question never changes, so only its foot is taken over: nothing moves
      if (kept && !kept.contains(document.activeElement)) kept.querySelector("footer").replaceWith(node.querySelector("footer"));
      if (kept) node.replaceWith(kept);
    }
    const figures = fresh.content.querySelector("#figures");
    $("counts").replaceChildren(figures.content);
    const on = figures.dataset.on === "1";
    toggle.textContent = on ? toggle.dataset.off : toggle.dataset.on;
    toggle.dataset.now = on ? "1" : "";
    $("way-in").hidden = figures.dataset.state === "over";
    figures.remove();
    $("board").replaceChildren(...fresh.content.childNodes);
  }

  async function watch() {
    clearTimeout(watch.timer);
    if (!document.hidden) {
      const answer = await fetch(`/ui/demos/${id}/board`).catch(() => null);
      if (answer?.ok) draw(await answer.text());
      else if (answer?.status === 404) location.assign("/demos");
    }
    watch.timer = setTimeout(watch, EVERY_MS);
  }

  function toast(text, action) {
    clearTimeout(toast.timer);
    $("toast").replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
    const button = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: strings["present.show_again"] });
    button.onclick = () => { $("toast").hidden = true; action(); };
    $("toast").append(button);
    $("toast").hidden = false;
    toast.timer = setTimeout(() => { $("toast").hidden = true; }, 8000);
  }

  async function hide(question, hidden) {
    if (await send("PATCH", `/api/demos/${id}/questions/${question}`, { hidden })) watch();
    if (hidden) toast(strings["present.hidden"], () => hide(question, false));
  }

  function sure() {
    $("sure-text").textContent = strings["present.off_ask"];
    $("sure").querySelector("[value=yes]").textContent = toggle.dataset.off;
    $("sure").showModal();
    return new Promise((settle) => { $("sure").onclose = () => settle($("sure").returnValue === "yes"); });
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const data = button.dataset;
    if (button.closest("#sure")) $("sure").close(button.value);
    else if (data.hide) hide(data.hide, true);
    else if (data.do === "switch") {
      const on = !data.now;
      if ((on || (await sure())) && (await send("PATCH", `/api/demos/${id}`, { on }))) watch();
    } else if (data.do === "theme") {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("colloquy_theme", root.dataset.theme); } catch { /* private window */ }
    } else if (data.do === "language") {
      document.cookie = `colloquy_lang=${root.dataset.lang === "en" ? "zh" : "en"}; path=/; max-age=31536000; samesite=lax`;
      location.reload();
    }
  });
  document.addEventListener("visibilitychange", () => { if (!document.hidden) watch(); });
  draw($("board").innerHTML);
  watch().then(() => document.body.classList.add("ready"));
})();
