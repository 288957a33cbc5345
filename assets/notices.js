// What the page says beside the conversation: notices with one action above the question box, toasts, and sentences for
// screen readers.
(() => {
  "use strict";
  const { t, waiting } = window.colloquy;
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

  // One notice at a time; it leaves when its action is taken, unless it `stays`. `kind` tells who may take it away.
  function notice(text, label, action, stays = false, kind = "") {
    clearInterval(notice.timer);
    notice.kind = text ? kind : "";
    $("notice").hidden = true;
    $("notice").replaceChildren();
    if (text) bar($("notice"), text, label, () => { if (!stays) notice(null); action(); });
  }

  // A refusal: one sentence, the seconds until it is worth asking again, one button. Only whoever ticks the box is asked for.
  function refuse(error, again) {
    if (error.code === "offline" || error.code === "unauthorized") return;
    if (error.action === "new") { notice(error.text, t("error.home"), again); return; }
    if (["bad_input", "banned", "too_large"].includes(error.code)) { notice(error.text, t("toast.dismiss"), () => $("question").focus()); return; }
    let typed = null; // what was refused is put back into the box after this
    const auto = $("notice").querySelector("input")?.checked; // it was ticked for the same question
    notice(error.text, t("error.retry"), again, false, error.code);
    notice.until = performance.now() + 1000 * (error.retry_s || 0);
    const button = $("notice").querySelector("button");
    const box = error.retry_s ? optIn(button, auto) : null;
    const tick = () => {
      const left = (notice.until - performance.now()) / 1000;
      button.disabled = left > 0;
      button.textContent = left > 0 ? t("error.retry_in", { s: waiting.clock(left) }) : t("error.retry");
      typed ??= $("question").value;
      if (box && $("question").value !== typed) box.checked = false;
      if (left > 0) return;
      clearInterval(notice.timer);
      if (box?.checked) again();
      else box?.parentElement.remove();
    };
    button.disabled = !!error.retry_s;
    setTimeout(tick);
    notice.timer = setInterval(tick, 250);
  }

  // Why `code` was refused is past: it is worth asking again now.
  function past(code) { if (notice.kind === code) notice.until = 0; }

  function optIn(button, checked) {
    const label = Object.assign(document.createElement("label"), { className: "auto" });
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: !!checked });
    label.append(box, t("error.auto"));
    button.before(label);
    return box;
  }

  // The line under the box: a word of caution, or that the model knows little of the language of the question.
  function hint() {
    const asked = $("question").value || [...$("thread").querySelectorAll(".question")].pop()?.textContent || "";
    const lang = asked.trim() ? (/\p{Script=Han}/u.test(asked) ? "zh" : "en") : document.documentElement.dataset.lang;
    const known = $("ask").dataset.speaks.split(" ").filter(Boolean);
    const names = new Intl.DisplayNames([document.documentElement.dataset.lang], { type: "language" });
    const foreign = known.length > 0 && !known.includes(lang);
    const best = known.map((code) => names.of(code)).join(", ");
    $("hint").classList.toggle("foreign", foreign);
    $("hint").textContent = foreign ? t("ask.language", { best, other: names.of(lang) }) : t("ask.hint");
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

  window.colloquy.notices = { notice, refuse, past, hint, toast, say };
})();
