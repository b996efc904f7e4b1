// Before anything is painted: the theme that was chosen here, otherwise the device's own.
(() => {
  let chosen = null;
  try { chosen = localStorage.getItem("tickerml-theme"); } catch { /* storage may be forbidden */ }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
})();
