// Before anything is drawn: the theme that was chosen here, if one was.
(() => {
  try {
    const chosen = localStorage.getItem("theme");
    if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
  } catch (_) { /* no storage: the system's theme */ }
})();
