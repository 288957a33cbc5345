// The trace of an answer: while it is written, step after step comes with the patches; that of a finished answer is
// fetched once, when it is unfolded. What the reader unfolded stays unfolded when the answer is drawn anew.
(() => {
  "use strict";
  const shownOf = (answer) => answer.querySelector(".trace[open] .steps");

  // Run `change`, which draws the inside of `answer` anew.
  function keep(answer, change) {
    const steps = shownOf(answer);
    change();
    carry(steps, answer);
  }

  // Unfold the trace of `answer` as it was shown before, until its own steps are there.
  function carry(steps, answer) {
    const trace = steps && answer.querySelector(".trace");
    if (!trace) return;
    if (trace.dataset.g) trace.querySelector(".steps").replaceChildren(...steps.childNodes);
    trace.open = true;
  }

  function steps(answer, changed) {
    const list = answer.querySelector(".steps");
    for (const [place, html] of Object.entries(changed)) {
      const old = list.children[place];
      if (old) old.outerHTML = html;
      else list.insertAdjacentHTML("beforeend", html);
    }
  }

  async function unfolded(trace) {
    const g = trace.dataset.g;
    if (!g || !trace.open) return;
    const reply = await window.colloquy.calls.call({ do: "trace", g });
    if (trace.dataset.g !== g) return;
    if (reply.error) { trace.querySelector(".steps").textContent = reply.error.text || ""; return; }
    trace.removeAttribute("data-g");
    trace.querySelector(".steps").innerHTML = reply.steps;
  }

  document.addEventListener("toggle", (event) => { if (event.target.matches?.(".trace")) unfolded(event.target); }, true);

  window.colloquy.trace = { keep, carry, steps, shownOf };
})();
