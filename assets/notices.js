// What the page says beside the conversation: notices with one action above the question box, toasts, and sentences for
// screen readers.
(() => {
  "use strict";
  const { t } = window.colloquy;
  const $ = (id) => document.getElementById(id);

  function bar(place, text, label, action) {
    place.replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
    if (label) {
      const button = Object.assign(document.createElement("button"), { type: "button", className: "button", textContent: label });
      button.onclick = action;
      place.append(button);
    }
    place.hidden = false;
  }

  // One notice at a time; it leaves when its action is taken, unless it `stays`.
  function notice(text, label, action, stays = false) {
    clearInterval(notice.timer);
    $("notice").hidden = true;
    if (text) bar($("notice"), text, label, () => { if (!stays) notice(null); action(); });
  }

  function refuse(error, again) {
    if (error.code === "offline") return;
    if (error.action === "new") { notice(error.text, t("error.home"), again); return; }
    if (error.code === "bad_input") { notice(error.text, t("toast.dismiss"), () => $("question").focus()); return; }
    let left = Math.ceil(error.retry_s || 0);
    notice(error.text, t("error.retry"), again);
    const button = $("notice").querySelector("button");
    const tick = () => {
      button.disabled = left > 0;
      button.textContent = left > 0 ? t("error.retry_in", { s: t("time.s", { n: left }) }) : t("error.retry");
      if (left-- <= 0) clearInterval(notice.timer);
    };
    tick();
    notice.timer = setInterval(tick, 1000);
  }

  function toast(text, label, action) {
    clearTimeout(toast.timer);
    bar($("toast"), text, label, () => { $("toast").hidden = true; action(); });
    toast.timer = setTimeout(() => { $("toast").hidden = true; }, label ? 8000 : 2500);
  }

  function say(text) {
    const line = Object.assign(document.createElement("p"), { textContent: text });
    $("say").append(line);
    while ($("say").childElementCount > 6) $("say").firstChild.remove();
  }

  window.colloquy.notices = { notice, refuse, toast, say };
})();
