// Share links: the dialog that previews and makes one, and what can be done to those there are. Any page may use it:
// `colloquy.share.open(id)` for a conversation or a comparison; `colloquy.share.act` answers the buttons of a list.
(() => {
  "use strict";
  const { t } = window.colloquy;
  const root = document.documentElement;
  const SURE_MS = 4000;
  let dialog = null;
  let shown = "";

  async function send(method, path, body) {
    const headers = body === undefined ? {} : { "Content-Type": "application/json" };
    let answer;
    try {
      answer = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    } catch { return { error: t("share.failed") }; }
    if (answer.ok) return { value: answer.status === 204 ? null : await (answer.headers.get("content-type").includes("json") ? answer.json() : answer.text()) };
    const error = await answer.json().then((shape) => shape.error, () => null);
    const strings = window.colloquyStrings[root.dataset.lang];
    const own = strings[`wrong.${error?.code}`] || strings[`error.${error?.code}`];
    return { code: error?.code, error: (root.dataset.lang === "en" ? error?.message : own) || t("share.failed") };
  }

  function times(place) {
    const style = { year: "numeric", month: "short", day: "numeric" };
    for (const time of place.querySelectorAll("time")) {
      const at = new Date(time.dataset.at ? 1000 * time.dataset.at : time.dateTime);
      time.textContent = at.toLocaleDateString(root.dataset.lang === "zh" ? "zh-CN" : navigator.language, style);
      time.title = at.toLocaleString();
    }
  }

  function trouble(place, text) {
    const line = place.querySelector(".trouble");
    line.textContent = text || "";
    line.hidden = !text;
  }

  function make() {
    dialog = document.createElement("dialog");
    dialog.id = "share-dialog";
    dialog.dataset.testid = "share-dialog";
    dialog.setAttribute("aria-labelledby", "share-title");
    dialog.addEventListener("click", (event) => {
      event.stopPropagation(); // the page's own buttons are elsewhere
      if (event.target === dialog) dialog.close();
      act(event);
    });
    dialog.addEventListener("keydown", (event) => event.stopPropagation());
    dialog.addEventListener("submit", publish);
    dialog.addEventListener("close", () => dialog.replaceChildren());
    document.getElementById("main").append(dialog);
  }

  // Draw the inside anew; what the link was, which is shown once, stays.
  async function draw(link = "") {
    const asked = shown;
    const reply = await send("GET", `/ui/share/${encodeURIComponent(asked)}?lang=${root.dataset.lang}`);
    if (asked !== shown) return;
    if (reply.error) { dialog.replaceChildren(Object.assign(document.createElement("p"), { className: "trouble", textContent: reply.error })); return; }
    dialog.innerHTML = reply.value;
    for (const el of dialog.querySelectorAll(".shown [data-testid]")) el.removeAttribute("data-testid"); // they name the page's own
    times(dialog);
    if (link) reveal(link);
  }

  async function open(id) {
    if (!dialog) make();
    shown = id;
    dialog.replaceChildren(Object.assign(document.createElement("p"), { className: "loading", textContent: t("share.loading") }));
    dialog.showModal();
    await draw();
  }

  function reveal(link) {
    const box = dialog.querySelector(".inside > template").content.firstElementChild.cloneNode(true);
    const input = box.querySelector("input");
    input.setAttribute("value", link);
    const frame = box.querySelector("[data-line]");
    frame?.setAttribute("value", frame.dataset.line.replace("{url}", link));
    dialog.querySelector(".publish").hidden = true;
    dialog.querySelector(".publish").after(box);
    input.focus();
    input.select();
    input.scrollLeft = 0;
  }

  async function publish(event) {
    event.preventDefault();
    const form = event.target;
    const button = form.querySelector("button");
    button.disabled = true;
    const seconds = Number(form.elements.expiry.value);
    const body = { expires_in_s: seconds || null, seen: form.dataset.seen };
    const reply = await send("POST", `/api/conversations/${encodeURIComponent(shown)}/share`, body);
    button.disabled = false;
    if (reply.error) {
      if (reply.code === "share_changed") await draw(); // look again
      trouble(dialog, reply.error);
      return;
    }
    await draw(reply.value.url);
  }

  async function copy(button) {
    const input = button.parentElement.querySelector("input");
    input.select();
    try { await navigator.clipboard.writeText(input.value); } catch { document.execCommand("copy"); } // plain http has no clipboard
    const before = button.dataset.before || button.textContent;
    button.dataset.before = before;
    button.textContent = t("share.copied");
    setTimeout(() => { button.textContent = before; }, 1600);
  }

  // Asks once more in its own place: nothing brings a link back.
  async function revoke(button) {
    if (!button.dataset.sure) {
      const before = button.textContent;
      button.dataset.sure = "1";
      button.textContent = t("share.revoke_sure");
      setTimeout(() => { delete button.dataset.sure; button.textContent = before; }, SURE_MS);
      return;
    }
    const line = button.closest(".share");
    const place = button.closest("dialog, main");
    const reply = await send("DELETE", `/api/shares/${line.dataset.id}`);
    if (reply.error && reply.code !== "not_found") { trouble(place, reply.error); return; }
    const list = line.parentElement;
    const next = line.nextElementSibling || line.previousElementSibling;
    line.remove();
    if (dialog?.contains(list)) {
      dialog.querySelector(".made-link")?.remove();
      dialog.querySelector(".publish")?.removeAttribute("hidden");
    }
    if (!list.childElementCount) list.closest(".links")?.remove();
    next?.querySelector("button").focus();
    document.dispatchEvent(new CustomEvent("colloquy-revoked", { detail: list }));
  }

  async function consent(box) {
    const reply = await send("PUT", "/api/consent", { research: box.checked });
    if (!reply.error) return;
    box.checked = !box.checked;
    trouble(box.closest("dialog, main"), reply.error);
  }

  function act(event) {
    const el = event.target.closest("[data-share]");
    if (!el) return;
    ({ close: () => dialog.close(), copy: () => copy(el), revoke: () => revoke(el), consent: () => consent(el) })[el.dataset.share]();
  }

  window.colloquy.share = { open, act, times, isOpen: () => !!dialog?.open };
})();
