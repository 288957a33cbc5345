// The list of conversations, and the keyboard in it: one stop of the Tab key, arrows from line to line and to what can be
// done with one. And the keyboard's place is kept, here and in the conversation, when what it stands on is drawn anew.
(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  let drawn = 0;
  const links = () => [...$("history").querySelectorAll(".line > a")];

  // Run `change`, which draws the inside of `root` anew, and put the focus back onto the same thing, else on `fallback`.
  function keep(root, change, fallback) {
    const was = document.activeElement;
    const item = root.contains(was) && was.closest("[data-c], [data-turn]");
    const inside = root.contains(was);
    change();
    if (!inside || (was.isConnected && document.activeElement === was)) return;
    const [name, id] = item && item.dataset.c ? ["data-c", item.dataset.c] : ["data-turn", item && item.dataset.turn];
    const deed = was.closest("[data-do]")?.dataset.do;
    const same = item && deed && root.querySelector(`[${name}="${id}"] [data-do="${deed}"]:not(:disabled)`);
    const alike = name === "data-turn" && deed && [...root.querySelectorAll(`[data-do="${deed}"]:not(:disabled)`)].pop();
    (same || alike || fallback())?.focus({ preventScroll: true });
  }

  // One link can be reached with Tab: the one last focused, else the open conversation, else the first.
  function rove(to) {
    const all = links();
    const stop = all.includes(to) ? to : all.find((link) => link.closest("[data-current]")) || all[0];
    for (const link of all) link.tabIndex = link === stop ? 0 : -1;
    for (const tool of $("history").querySelectorAll(".tool")) tool.tabIndex = -1;
    return stop;
  }

  // Draw what the `nth` call brought, unless a later one was faster.
  function draw(html, nth) {
    if (nth < drawn) return;
    drawn = nth;
    if ($("history").querySelector("input")) return; // a title is being typed
    keep($("history"), () => { $("history").innerHTML = html; rove(); }, () => rove() || $("find"));
  }

  function mark(c) {
    for (const line of $("history").querySelectorAll(".line")) {
      line.toggleAttribute("data-current", line.dataset.c === c);
      const link = line.querySelector("a");
      if (line.dataset.c === c) link?.setAttribute("aria-current", "page");
      else link?.removeAttribute("aria-current");
    }
    if (!$("history").contains(document.activeElement)) rove();
  }

  function onKey(event) {
    const line = event.target.closest(".line");
    if (!line || event.target.matches("input") || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = links();
    const here = all.indexOf(line.querySelector(":scope > a"));
    const row = [all[here], ...line.querySelectorAll(".tool")];
    const at = row.indexOf(event.target);
    const to = {
      ArrowDown: all[here + 1], ArrowUp: all[here - 1] || $("find"), Home: all[0], End: all[all.length - 1],
      ArrowRight: row[at + 1], ArrowLeft: row[at - 1],
    };
    if (!(event.key in to)) return;
    event.preventDefault();
    to[event.key]?.focus();
  }

  function listen() {
    $("history").addEventListener("keydown", onKey);
    $("history").addEventListener("focusin", (event) => rove(event.target.closest(".line")?.querySelector("a")));
    $("find").addEventListener("keydown", (event) => {
      if (event.key === "ArrowDown") { event.preventDefault(); rove()?.focus(); }
    });
  }

  window.colloquy.list = { draw, mark, keep, listen };
})();
