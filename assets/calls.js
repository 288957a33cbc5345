// Calls to the server, and what becomes of one that brings no answer: no line, a server that starts, a session that ended.
(() => {
  "use strict";
  const { t } = window.colloquy;
  const root = document.documentElement;
  const CHAT = "gradio_api/component_server/";
  let calls = 0;

  // The reply to `request`; without one an error with the `code` "offline", or with the one that the server gave. Replies
  // can overtake each other: `nth` says which call this one answers.
  async function call(request, address = CHAT) {
    const nth = ++calls;
    const reply = await answer({ lang: root.dataset.lang, ...request }, address);
    if (reply.goto) location.assign(reply.goto);
    return { ...reply, nth };
  }

  async function answer(data, address) {
    let response;
    try {
      response = await fetch(address, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(address === CHAT ? { fn_name: "act", data } : data),
      });
      if (response.ok) return await response.json();
      const { error } = await response.json();
      if (error.code === "starting" || response.status === 502) return { error: { code: "offline" } };
      const own = window.colloquyStrings[root.dataset.lang][`error.${error.code}`];
      return { error: { code: error.code, text: own || error.message, retry_s: error.retry_after_s || 0 } };
    } catch {
      return { error: { code: response && response.status < 500 ? "error" : "offline", text: t("error.error") } };
    }
  }

  // A question that must survive a way through the log-in page. It is given back to the same person only.
  function keepDraft(who, text) {
    try { sessionStorage.setItem("colloquy_draft", JSON.stringify({ who, text })); } catch { /* private window */ }
  }

  function takeDraft(who) {
    try {
      const draft = JSON.parse(sessionStorage.getItem("colloquy_draft"));
      sessionStorage.removeItem("colloquy_draft");
      return draft && draft.who === who ? draft.text : "";
    } catch { return ""; }
  }

  window.colloquy.calls = { call, keepDraft, takeDraft };
})();
