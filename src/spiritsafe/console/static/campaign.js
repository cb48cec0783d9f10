// What the campaign's page is better with and does not need: a choice changes its part alone, and time is chosen by a brush or by keys.
(() => {
  "use strict";
  let turn = 0;

  // A link or a form with data-swap="part" fetches that part, and puts it in place of the one that is shown.
  const swap = async (address, name, focus) => {
    const shown = document.getElementById(name);
    if (!shown) { location.assign(address); return; }
    const mine = ++turn;
    shown.classList.add("swapping");
    shown.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(address, { credentials: "same-origin", headers: { accept: "text/html" } });
      const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(name);
      if (!answer.ok || !fresh) { location.assign(address); return; }
      if (mine !== turn) return;
      const open = [...shown.querySelectorAll("details")].map((one) => one.open);
      fresh.querySelectorAll("details").forEach((one, at) => { one.open = Boolean(open[at]); });
      shown.replaceWith(fresh);
      const again = (focus && focus(fresh)) || fresh.querySelector("h2");
      if (again) {
        if (!again.matches("a, button, input, [tabindex]")) again.tabIndex = -1;
        again.focus({ preventScroll: true });
      }
    } catch (_) {
      location.assign(address);
    } finally {
      shown.classList.remove("swapping");
      shown.removeAttribute("aria-busy");
    }
  };

  // Where the focus was: the same node, the same button, the same name.
  const same = (link) => (fresh) => {
    if (link.id) return fresh.querySelector(`#${CSS.escape(link.id)}`);
    if (link.dataset.way) return fresh.querySelector(`[data-way="${CSS.escape(link.dataset.way)}"]`);
    return [...fresh.querySelectorAll("a[data-swap]")].find((one) => one.textContent.trim() === link.textContent.trim());
  };

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-swap]");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const name = link.getAttribute("data-swap");
    if (!document.getElementById(name)) return;
    event.preventDefault();
    const inside = document.getElementById(name).contains(link);
    swap(link.getAttribute("href"), name, inside ? same(link) : null).then(() => {
      if (!inside) document.getElementById(name)?.scrollIntoView({ block: "start" });
    });
  });

  const send = (form) => {
    const query = new URLSearchParams();
    for (const [key, value] of new FormData(form)) if (value !== "") query.append(key, value);
    const text = query.toString();
    const held = document.activeElement;
    const find = held && form.contains(held) && (held.value || held.name)
      ? (fresh) => [...fresh.querySelectorAll("input, button")].find((one) => one.name === held.name && (one.type === "text" || one.value === held.value))
      : null;
    swap(form.getAttribute("action") + (text ? `?${text}` : ""), form.dataset.swap, find);
  };
  document.addEventListener("submit", (event) => {
    const form = event.target.closest("form[data-swap]");
    if (!form || !document.getElementById(form.dataset.swap)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    send(form);
  }, true);
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form.takes[data-swap]");
    if (form) send(form);
  });

  // Time: keys on the picture, and a span drawn with the pointer.
  const keys = { ArrowLeft: "earlier", ArrowRight: "later", "+": "closer", "=": "closer", "-": "wider", 0: "all" };
  document.addEventListener("keydown", (event) => {
    const brush = event.target.closest(".brush");
    const way = keys[event.key];
    if (!brush || !way || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const link = document.querySelector(`#timeline [data-way="${way}"]`);
    if (link) swap(link.getAttribute("href"), "timeline", (fresh) => fresh.querySelector(".brush"));
  });

  let drag = null;
  const place = (svg, event) => {
    const box = svg.getBoundingClientRect();
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    return Math.max(Number(svg.dataset.left), Math.min(Number(svg.dataset.right), x));
  };
  const moment = (svg, x) => {
    const from = Number(svg.dataset.from);
    const part = (x - Number(svg.dataset.left)) / (Number(svg.dataset.right) - Number(svg.dataset.left));
    return Math.round(from + part * (Number(svg.dataset.to) - from));
  };
  document.addEventListener("pointerdown", (event) => {
    const svg = event.target.closest(".brush svg");
    if (!svg || event.button || event.pointerType === "touch") return;
    const span = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    span.setAttribute("class", "brush-span");
    span.setAttribute("y", "20");
    span.setAttribute("height", String(svg.viewBox.baseVal.height - 44));
    drag = { svg, span, start: place(svg, event), end: place(svg, event) };
    svg.append(span);
    svg.setPointerCapture(event.pointerId);
  });
  document.addEventListener("pointermove", (event) => {
    if (!drag) return;
    drag.end = place(drag.svg, event);
    drag.span.setAttribute("x", String(Math.min(drag.start, drag.end)));
    drag.span.setAttribute("width", String(Math.abs(drag.end - drag.start)));
  });
  document.addEventListener("pointerup", () => {
    if (!drag) return;
    const { svg, span, start, end } = drag;
    drag = null;
    span.remove();
    if (Math.abs(end - start) < 4) return;
    const part = document.getElementById("timeline").dataset.part;
    const [low, high] = [moment(svg, Math.min(start, end)), moment(svg, Math.max(start, end))];
    swap(`${part}?from=${low}&to=${high}`, "timeline", (fresh) => fresh.querySelector(".brush"));
  });
})();
