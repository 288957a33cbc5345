// The page of one's links: times in the reader's zone, revoking, consent, and the look.
(() => {
  "use strict";
  const { share } = window.colloquy;
  const root = document.documentElement;
  const doing = {
    theme: () => {
      root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
      try { localStorage.setItem("colloquy_theme", root.dataset.theme); } catch { /* private window */ }
    },
    language: () => {
      document.cookie = `colloquy_lang=${root.dataset.lang === "zh" ? "en" : "zh"}; path=/; max-age=31536000; samesite=lax`;
      location.reload();
    },
  };

  document.addEventListener("click", (event) => {
    doing[event.target.closest("[data-do]")?.dataset.do]?.();
    share.act(event);
  });
  document.addEventListener("colloquy-revoked", (event) => { if (!event.detail.childElementCount) location.reload(); });
  share.times(document);
})();
