// What the pages are better with and do not need: keys, drafts, forms sent once, a theme, progress.
(() => {
  "use strict";
  const $ = (selector, root = document) => root.querySelector(selector);
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const kept = (key, value) => {
    try {
      if (value === undefined) return sessionStorage.getItem(key);
      if (value === null) sessionStorage.removeItem(key);
      else sessionStorage.setItem(key, value);
    } catch (_) { /* no storage: no drafts */ }
    return null;
  };

  // Theme: the system's, until one is chosen.
  const button = $("[data-theme-button]");
  if (button) {
    button.hidden = false;
    const dark = () => document.documentElement.dataset.theme === "dark" ||
      (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
    const told = () => { button.textContent = dark() ? "Light" : "Dark"; };
    told();
    button.addEventListener("click", () => {
      const next = dark() ? "light" : "dark";
      document.documentElement.dataset.theme = next;
      try { localStorage.setItem("theme", next); } catch (_) { /* for this page only */ }
      told();
    });
  }

  // On a narrow screen the rooms scroll sideways: the one that one is in comes into view.
  const room = $(".top nav [aria-current]");
  if (room) room.parentElement.scrollLeft = room.offsetLeft - room.parentElement.offsetLeft - 40;

  // A list that keys walk through: j, k; Enter or o opens; x marks; / filters.
  const rows = all("[data-rows] > [data-href]");
  let at = -1;
  const go = (to) => {
    if (!rows.length) return;
    at = Math.max(0, Math.min(rows.length - 1, to));
    rows.forEach((row, n) => row.classList.toggle("current", n === at));
    const link = $("a", rows[at]);
    if (link) link.focus({ preventScroll: true });
    rows[at].scrollIntoView({ block: "nearest" });
  };
  rows.forEach((row, n) => row.addEventListener("focusin", () => {
    at = n;
    rows.forEach((one, m) => one.classList.toggle("current", m === n));
  }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target.closest("input, textarea, select");
    if (event.key === "Escape" && typing) { typing.blur(); return; }
    if (typing) return;
    const keys = $("dialog[data-keys]");
    if (event.key === "?" && keys) { keys.open ? keys.close() : keys.showModal(); event.preventDefault(); return; }
    if (event.key === "/" && $("[data-filter]")) { $("[data-filter]").focus(); event.preventDefault(); return; }
    if (event.key === "j") { go(at + 1); event.preventDefault(); }
    if (event.key === "k") { go(at < 0 ? 0 : at - 1); event.preventDefault(); }
    if ((event.key === "o" || event.key === "Enter") && at >= 0 && rows[at].dataset.href &&
        !event.target.closest("button, summary, a:not([data-rows] a)")) {
      location.assign(rows[at].dataset.href);
      event.preventDefault();
    }
    if (event.key === "n" && $("a[rel=next]")) location.assign($("a[rel=next]").href);
    if (event.key === "p" && $("a[rel=prev]")) location.assign($("a[rel=prev]").href);
    const shortcut = $(`[data-key="${CSS.escape(event.key)}"]`);
    if (shortcut) { shortcut.focus(); if (shortcut.tagName === "BUTTON" || shortcut.tagName === "A") shortcut.click(); event.preventDefault(); }
  });

  // What somebody types outlives a lost session; it goes when the form was accepted.
  all("textarea[data-draft]").forEach((area) => {
    const key = `draft ${location.pathname} ${area.form ? area.form.getAttribute("action") : ""} ${area.name}`;
    const draft = kept(key);
    if (draft && !area.value && !document.documentElement.querySelector("[data-done]")) area.value = draft;
    area.addEventListener("input", () => kept(key, area.value || null));
  });
  if ($("[data-done]")) {
    try {
      Object.keys(sessionStorage).filter((key) => key.startsWith(`draft ${location.pathname} `)).forEach((key) => kept(key, null));
    } catch (_) { /* no storage */ }
  }

  // A form is sent once.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "1";
    all("button", form).forEach((one) => one.setAttribute("aria-disabled", "true"));
  });
  addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => {
    delete form.dataset.sent;
    all("button", form).forEach((one) => one.removeAttribute("aria-disabled"));
  }));

  // A select that filters as soon as it changes.
  all("form[data-live] select").forEach((one) => one.addEventListener("change", () => one.form.requestSubmit()));

  // Long work: a part of the page is fetched again until it says that it is done.
  all("[data-poll]").forEach((part) => {
    const again = async () => {
      try {
        const answer = await fetch(part.dataset.poll, { credentials: "same-origin" });
        if (answer.ok) {
          const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
          if (fresh) {
            part.replaceChildren(...fresh.childNodes);
            if (!fresh.dataset.poll) {
              const address = part.dataset.poll;
              delete part.dataset.poll;
              if (!("whole" in part.dataset)) return;
              // The rest of the page is as it was before the work was done; what somebody is typing is not thrown away.
              const touched = all("main input:not([type=hidden]), main textarea").some(
                (one) => one.value !== one.defaultValue || one.checked !== one.defaultChecked);
              if (!touched) { location.replace(address); return; }
              const link = document.createElement("a");
              link.href = address;
              link.textContent = "It is done: show it";
              part.append(link);
              return;
            }
          }
        }
      } catch (_) { /* the server is away: try again */ }
      setTimeout(again, 1500);
    };
    setTimeout(again, 800);
  });
})();
