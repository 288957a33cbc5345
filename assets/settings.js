// The form of a pipeline's settings, which the server draws and checks, value by value. Both pages that ask use it: it
// answers with the values that are not the defaults and are allowed, or with null when a later call has overtaken it.
(() => {
  "use strict";
  const { t, calls } = window.colloquy;
  let asked = 0;

  async function ask(pipeline, params) {
    const turn = ++asked;
    const reply = await calls.call({ do: "tune", pipeline, params });
    return turn === asked ? reply : null;
  }

  // Draw the form of `pipeline` into `place`, filled with `params`.
  async function draw(place, pipeline, params) {
    const reply = await ask(pipeline, params);
    if (!reply) return null;
    if (reply.error) { place.textContent = reply.error.text || t("offline.text"); return null; }
    place.innerHTML = reply.form;
    return reply.changed;
  }

  // Every value that is not the default goes to the server, which says what is wrong and which of them count.
  async function check(form) {
    const params = {};
    for (const box of form.elements) {
      if (!box.name) continue;
      const value = box.type === "checkbox" ? String(box.checked) : box.value;
      if (value !== box.dataset.default && (value !== "" || box.validity.badInput)) params[box.name] = value;
    }
    const reply = await ask(form.dataset.pipeline, params);
    if (!reply || reply.error) return null;
    for (const row of form.querySelectorAll(".row")) {
      const name = row.dataset.name;
      row.toggleAttribute("data-changed", name in reply.changed || name in reply.wrong);
      row.querySelector(".wrong").textContent = reply.wrong[name] || "";
      row.querySelector("[name]").toggleAttribute("aria-invalid", name in reply.wrong);
    }
    return reply.changed;
  }

  window.colloquy.settings = { draw, check };
})();
