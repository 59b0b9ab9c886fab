/* What pages need that style sheets cannot give: paper is light, what scrolls takes focus, files cannot be fetched. */
(function () {
  var root = document.documentElement, theme = null;
  window.addEventListener("beforeprint", function () { theme = root.dataset.theme; root.dataset.theme = "light"; });
  window.addEventListener("afterprint", function () { if (theme) root.dataset.theme = theme; });

  /* From the file system nothing can be fetched: search shows no line of each page, formulas have no spoken menu. */
  if (location.protocol === "file:") {
    if (typeof DOCUMENTATION_OPTIONS !== "undefined") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
    try { localStorage.removeItem("MathJax-Menu-Settings"); } catch (refused) { /* then nothing is kept, either */ }
    var math = window.MathJax || {};
    window.MathJax = Object.assign({}, math, {options: Object.assign({}, math.options, {enableMenu: false})});
  }

  /* Where MathJax 3.2.2 loads its explorer late, all formulas vanish (its issue 3124); loaded with the page they stay. */
  window.addEventListener("load", function () {
    if (!window.MathJax || !MathJax.startup || !MathJax.startup.promise) return;
    MathJax.startup.promise.then(function () {
      var menu = MathJax.startup.document.menu, item = menu && menu.menu.findID("Accessibility", "Activate");
      if (!item) return;
      var variable = item.variable, set = variable.setValue;
      variable.setValue = function (value, node) { set.call(variable, value, node); location.reload(); };
    });
  });

  /* The arrow beside a page that has others under it says to a screen reader what it is for. */
  window.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll("nav details > summary").forEach(function (arrow) {
      var page = arrow.parentElement.parentElement.querySelector("a");
      if (page && !arrow.textContent.trim()) arrow.setAttribute("aria-label", "Pages under " + page.textContent.trim());
    });
  });

  /* The switch between editions stays at the same place of the page, too. */
  document.addEventListener("click", function (event) {
    var link = event.target.closest && event.target.closest(".editions a[data-same]");
    if (link) link.hash = location.hash;
  });

  /* Downloads keep their names, and do not open as text. */
  window.addEventListener("load", function () {
    document.querySelectorAll(".btn-download-source-button").forEach(function (link) {
      link.removeAttribute("target");
      link.setAttribute("download", new URL(link.href).pathname.split("/").pop());
    });
  });

  /* A figure of several panels is small on a phone: a tap, or Enter, makes it as wide as on a desk, and back. */
  window.addEventListener("load", function () {
    document.querySelectorAll(".bd-content img[src$='.svg']").forEach(function (image) {
      function turn() { if (innerWidth < 600 || image.classList.contains("enlarged")) image.classList.toggle("enlarged"); }
      image.addEventListener("click", turn);
      image.addEventListener("keydown", function (event) { if (event.key === "Enter") turn(); });
      if (innerWidth < 600) image.tabIndex = 0;
    });
  });

  /* A long table in folded parts: what is searched for is shown, whatever part it is in. */
  window.addEventListener("load", function () {
    document.querySelectorAll(".searched").forEach(function (whole) {
      var field = whole.querySelector("input"), told = whole.querySelector("output");
      field.addEventListener("input", function () {
        var asked = field.value.trim().toLowerCase(), found = 0;
        whole.querySelectorAll("details").forEach(function (part) {
          var here = 0;
          part.querySelectorAll("tbody tr").forEach(function (row) {
            row.hidden = asked !== "" && row.textContent.toLowerCase().indexOf(asked) < 0;
            here += !row.hidden;
          });
          part.hidden = here === 0;
          part.open = asked !== "" && here > 0;
          found += here;
        });
        told.textContent = asked ? found + " found" : "";
      });
    });
  });

  function focusable() {
    document.querySelectorAll("article .cell_output, article table, article pre, article .pst-scrollable-table-container")
      .forEach(function (element) {
        if (element.scrollWidth > element.clientWidth + 1 && getComputedStyle(element).overflowX !== "visible")
          element.tabIndex = 0;
      });
  }
  window.addEventListener("load", focusable);
  window.addEventListener("resize", focusable);
})();
