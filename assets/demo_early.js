// A demo that has not begun: the time left, counted down; the page is loaded again when it begins.
(() => {
  "use strict";
  const count = document.getElementById("count");
  const until = performance.now() + Number(count.dataset.wait) * 1000;
  const strings = window.colloquyStrings[document.documentElement.dataset.lang];
  function tick() {
    const left = Math.ceil((until - performance.now()) / 1000);
    if (left <= 0) { setTimeout(() => location.reload(), 700); return; }
    const [days, hours, minutes] = [Math.floor(left / 86400), Math.floor(left / 3600) % 24, Math.floor(left / 60) % 60];
    const two = (n) => String(n).padStart(2, "0");
    const clock = `${hours || days ? `${two(hours)}:` : ""}${two(minutes)}:${two(left % 60)}`;
    count.textContent = days ? strings[days === 1 ? "demo.days_one" : "demo.days"].replace("{n}", days).replace("{clock}", clock) : clock;
    setTimeout(tick, 1000 - ((performance.now()) % 1000) + 5);
  }
  tick();
  document.body.classList.add("ready");
})();
