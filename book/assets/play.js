/* What readers play with: computed in the page, from the margins of this edition's runs (w2s_lib/findings/play.py).

   Above: plain functions, which tests call as window.w2s.  Below: widgets, each of which takes over one element with a
   data-play attribute; what stands there before is what paper and browsers without scripts show.  Texts are set as
   text, never as markup. */
(function () {
  "use strict";
  const w2s = (window.w2s = {});
  const QUADRANTS = ["both know", "deception area: only the strong knows", "only the weak knows", "neither knows"];

  /* Numbers: margins, probabilities, comparisons, nulls */

  w2s.unpack = function (text, Kind) {
    const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    return Array.from(new Kind(bytes.buffer));
  };
  w2s.sigmoid = (margin) => 1 / (1 + Math.exp(-margin));
  const exact = (text) => w2s.unpack(text, Float32Array).map(w2s.sigmoid);
  const rounded = (text, step) => w2s.unpack(text, Int16Array).map((x) => w2s.sigmoid(x / step));

  /* Probabilities of the true order under all models of one student, and who is right, taxed, in which quadrant. */
  w2s.compare = function (data, seed, cell, condition) {
    const p = {
      weak: exact(seed.weak[cell.weak]), ceiling: exact(seed.ceiling[cell.strong]),
      baseline: rounded(cell.none, data.step), independent: exact(cell.independent),
    };
    for (const name of Object.keys(cell.students)) p[name] = rounded(cell.students[name], data.step);
    p.conflict = p[condition];
    const knows = (x) => x > data.threshold;
    const right = p.baseline.map((x) => x > 0.5);
    const taxed = (student) => student.map((x, i) => right[i] && !(x > 0.5));
    return {
      p, right, taxed, tax: taxed(p.conflict),
      quadrant: p.weak.map((x, i) => 2 * !knows(p.ceiling[i]) + !knows(x)),
      area: p.weak.map((x, i) => knows(p.ceiling[i]) && !knows(x)),
    };
  };

  const where = (mask) => mask.flatMap((x, i) => (x ? [i] : []));
  w2s.share = function (part, of) {
    const inside = where(of);
    return inside.length ? inside.filter((i) => part[i]).length / inside.length : NaN;
  };

  /* Ranks from 1, ties averaged, as scipy.stats.rankdata. */
  w2s.ranks = function (values) {
    const order = values.map((_, i) => i).sort((a, b) => values[a] - values[b]), ranks = new Array(values.length);
    for (let start = 0, end; start < order.length; start = end) {
      for (end = start + 1; end < order.length && values[order[end]] === values[order[start]]; end++);
      for (let i = start; i < end; i++) ranks[order[i]] = (start + end + 1) / 2;
    }
    return ranks;
  };

  /* metrics.Comparison.null_in_bins: DS if the tax had fallen blindly among pairs of the same bin of every feature. */
  w2s.nullInBins = function (c, features, bins) {
    const inside = where(c.right), strata = inside.map(() => 0);
    for (const name of features) {
      const ranks = w2s.ranks(inside.map((i) => c.p[name][i]));
      ranks.forEach((rank, k) => {
        strata[k] = strata[k] * bins + Math.min(bins - 1, Math.floor(((rank - 0.5) * bins) / inside.length));
      });
    }
    const size = new Map(), hit = new Map();
    strata.forEach((s, k) => {
      size.set(s, (size.get(s) || 0) + 1);
      hit.set(s, (hit.get(s) || 0) + c.area[inside[k]]);
    });
    const chance = strata.flatMap((s, k) => (c.tax[inside[k]] ? [hit.get(s) / size.get(s)] : []));
    return chance.length ? chance.reduce((a, b) => a + b, 0) / chance.length : NaN;
  };

  /* How many of n coins fall right at least so often: what luck alone does. */
  w2s.byLuck = function (right, n) {
    let ways = 1, found = 0;
    for (let k = 0; k <= n; ways = (ways * (n - k)) / (k + 1), k++) if (k >= right) found += ways;
    return found / 2 ** n;
  };

  /* Elements: attributes, listeners and texts; nothing is ever parsed as markup */

  const SVG = new Set(["svg", "g", "path", "circle", "line", "rect", "text"]);
  function make(tag, about, ...inside) {
    const element = SVG.has(tag) && tag !== "a" ? document.createElementNS("http://www.w3.org/2000/svg", tag)
      : document.createElement(tag);
    for (const [name, value] of Object.entries(about || {})) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value === true) element.setAttribute(name, "");
      else if (value !== false && value != null) element.setAttribute(name, value);
    }
    element.append(...inside.flat().filter((x) => x != null).map((x) => (x instanceof Node ? x : String(x))));
    return element;
  }
  const show = (x, digits = 2) => (x == null || Number.isNaN(x) ? "undefined" : x.toFixed(digits));
  const signed = (x) => (Number.isNaN(x) ? "undefined" : (x < 0 ? "−" : "+") + Math.abs(x).toFixed(2));

  function table(heads, rows, caption) {
    return make("table", {class: "played"}, caption ? make("caption", {}, caption) : null,
      make("thead", {}, make("tr", {}, heads.map((x) => make("th", {scope: "col"}, x)))),
      make("tbody", {}, rows.map(([first, ...rest]) =>
        make("tr", {}, make("th", {scope: "row"}, first), rest.map((x) => make("td", {}, x))))));
  }
  let made = 0;
  function chosen(label, names, onchange, value) {
    const id = "w2s-" + ++made;
    const select = make("select", {id, autocomplete: "off", onchange}, names.map((x) => make("option", {}, x)));
    if (value !== undefined) select.value = value;
    return [make("label", {for: id}, label), select];
  }
  const option = (name, value, label, about) =>
    make("label", {class: "choice"}, make("input", {type: "radio", name, value, ...about}), " ", label);

  /* Which student: weak, strong, condition and seed; tells what was picked now and at every change. */
  function picker(data, tell) {
    const distinct = (values) => [...new Set(values)], cells = data.seeds[0].cells;
    const strongs = (weak) => distinct(cells.filter((c) => c.weak === weak).map((c) => c.strong));
    const changed = () => {
      const seed = data.seeds.find((s) => String(s.seed) === seeds.value);
      const cell = seed.cells.find((c) => c.weak === weak.value && c.strong === strong.value);
      tell({seed, cell, condition: condition.value, c: w2s.compare(data, seed, cell, condition.value)});
    };
    const of = (label, names, then) => chosen(label, names, then || changed);
    const refill = () => {
      const before = strong.value, names = strongs(weak.value);
      strong.replaceChildren(...names.map((x) => make("option", {}, x)));
      if (names.includes(before)) strong.value = before;
      changed();
    };
    const [weakLabel, weak] = of("weak supervisor", distinct(cells.map((c) => c.weak)), refill);
    const [strongLabel, strong] = of("strong student", strongs(weak.value));
    const [conditionLabel, condition] = of("condition", Object.keys(cells[0].students));
    const [seedLabel, seeds] = of("study seed", data.seeds.map((s) => s.seed));
    const fields = [[weakLabel, weak], [strongLabel, strong], [conditionLabel, condition], [seedLabel, seeds]];
    return {bar: make("div", {class: "bar"}, fields.map((two) => make("span", {}, two))), changed};
  }

  /* The plane, in log-odds, cut off at CLIP, as figures.slider draws it */

  const SIZE = 300, CLIP = 0.002;
  const odds = (p) => Math.log(p / (1 - p));
  const at = (p) => ((odds(Math.min(Math.max(p, CLIP), 1 - CLIP)) / odds(1 - CLIP) + 1) / 2) * SIZE;
  function plane(threshold, ...inside) {
    const cut = at(threshold), ticks = [0.01, 0.1, 0.5, 0.9, 0.99];
    return make("svg", {viewBox: "-34 -18 340 352", class: "plane", tabindex: 0, role: "group"},
      make("rect", {x: 0, y: 0, width: cut, height: SIZE - cut, class: "area"}),
      make("path", {d: `M0 0V${SIZE}H${SIZE}M${cut} 0V${SIZE}M0 ${SIZE - cut}H${SIZE}`, class: "lines"}),
      ticks.map((p) => make("text", {x: at(p), y: SIZE + 14, "text-anchor": "middle"}, p)),
      ticks.map((p) => make("text", {x: -5, y: SIZE - at(p) + 4, "text-anchor": "end"}, p)),
      make("text", {x: 0, y: -6}, "↑ strong ceiling's p of the truth"),
      make("text", {x: SIZE, y: 328, "text-anchor": "end"}, "weak supervisor's p of the truth →"), ...inside);
  }

  /* Widgets */

  const widgets = (w2s.widgets = {});

  /* Quadrant explorer: four quadrants with counts; a dot is a pair to read. */
  widgets.quadrants = function (root, data) {
    let now, shown = [], current;
    const card = make("div", {class: "pair", "aria-live": "polite"}), counts = make("div");
    const dots = make("g"), ring = make("circle", {r: 9, class: "ring"});
    const svg = plane(data.threshold, dots, ring);
    svg.setAttribute("aria-label", "Deception plane. Arrow keys go from pair to pair: left and right by the weak " +
      "supervisor's p, up and down by the ceiling's. What a pair says stands below.");
    const [whichLabel, which] = chosen("show", ["all that can pay", "taxed pairs only", ...QUADRANTS], draw);
    const place = (i) => [at(now.c.p.weak[i]), SIZE - at(now.c.p.ceiling[i])];

    function draw() {
      const {c} = now, quadrant = QUADRANTS.indexOf(which.value);
      const wanted = (i) => (quadrant >= 0 ? c.quadrant[i] === quadrant : which.selectedIndex === 0 || c.tax[i]);
      shown = where(c.right).filter(wanted);
      const lit = shown.filter((i) => c.tax[i]), rest = shown.filter((i) => !c.tax[i]);
      dots.replaceChildren(...[...rest, ...lit].map((i) => {
        const [x, y] = place(i);
        return make("circle", {cx: x.toFixed(1), cy: y.toFixed(1), r: c.tax[i] ? 4 : 2.2, class: c.tax[i] ? "lit" : "pale"});
      }));
      const count = (mask, q) => c.quadrant.filter((x, i) => x === q && mask[i]).length;
      const all = c.right.map(() => true);
      counts.replaceChildren(table(["quadrant", "test pairs", "ranked right", "taxed"],
        [1, 0, 2, 3].map((q) => [QUADRANTS[q], count(all, q), count(c.right, q), count(c.tax, q)]),
        `${now.cell.weak} → ${now.cell.strong}, ${now.condition}, seed ${now.seed.seed}; T = ${data.threshold}`));
      pick(lit.length ? lit[0] : shown[0]);
    }

    function pick(i) {
      current = i;
      ring.setAttribute("visibility", i === undefined ? "hidden" : "visible");
      if (i === undefined) return card.replaceChildren(make("p", {}, "No pair to show."));
      const {c, seed} = now, [x, y] = place(i), text = (name) => seed.texts[name].split("|")[i];
      ring.setAttribute("cx", x); ring.setAttribute("cy", y);
      const others = Object.keys(now.cell.students);
      const rows = [["weak supervisor", c.p.weak], ["strong ceiling", c.p.ceiling], ["no-conflict student", c.p.baseline],
        ...others.map((name) => [`student: ${name}`, c.p[name]]), ["second no-conflict student", c.p.independent]];
      const again = c.taxed(c.p.rerun)[i], taxed = c.tax[i];
      const told = now.condition === "rerun" ? (taxed ? "The rerun taxes it: nothing but another seed was needed." : "The rerun leaves it right.")
        : taxed ? (again ? "A rerun, which has no conflict, taxes it, too: churn is enough." : "A rerun leaves it right: here churn did not do it.")
          : again ? "Not taxed here, though a rerun taxes it." : "Not taxed, neither here nor by a rerun.";
      card.replaceChildren(
        make("p", {}, make("strong", {}, QUADRANTS[c.quadrant[i]] + (taxed ? ", taxed" : "")), ` · pair ${shown.indexOf(i) + 1} of ${shown.length}`),
        make("p", {}, "“", text("prompt"), "”"),
        make("p", {}, "truly better: ", make("em", {}, text("chosen")), make("br"), "truly worse: ", make("em", {}, text("rejected"))),
        table(["model", "p of the truth", "ranks", "knows"],
          rows.map(([name, p]) => [name, show(p[i], 3), p[i] > 0.5 ? "right" : "wrong", p[i] > data.threshold ? "yes" : "no"])),
        make("p", {}, told));
    }

    function step(by, name) {
      const order = [...shown].sort((a, b) => now.c.p[name][a] - now.c.p[name][b] || a - b);
      if (order.length) pick(order[Math.min(Math.max(order.indexOf(current) + by, 0), order.length - 1)]);
    }
    svg.addEventListener("keydown", (event) => {
      const keys = {ArrowRight: [1, "weak"], ArrowLeft: [-1, "weak"], ArrowUp: [1, "ceiling"], ArrowDown: [-1, "ceiling"]};
      if (!keys[event.key]) return;
      event.preventDefault();
      step(...keys[event.key]);
    });
    svg.addEventListener("click", (event) => {
      const box = svg.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * 340 - 34;
      const y = ((event.clientY - box.top) / box.height) * 352 - 18;
      const far = (i) => Math.hypot(place(i)[0] - x, place(i)[1] - y);
      if (shown.length) pick(shown.reduce((a, b) => (far(b) < far(a) ? b : a)));
      svg.focus();
    });
    const {bar, changed} = picker(data, (picked) => { now = picked; draw(); });
    bar.append(make("span", {}, whichLabel, which));
    const go = (label, by) => make("button", {type: "button", onclick: () => step(by, "weak")}, label);
    root.replaceChildren(bar, make("div", {class: "sides"}, make("div", {}, svg, make("p", {}, go("← previous", -1), " ", go("next →", 1))),
      make("div", {}, counts)), card);
    changed();
  };

  /* Build your own null: match the taxed pairs as you like. */
  const MATCHINGS = {
    none: {says: "nothing", features: [], book: "random"},
    margin: {says: "the margin", features: ["independent"], book: "margin_matched"},
    label: {says: "the weak label", features: ["weak"], book: "label_matched"},
    both: {says: "both", features: ["weak", "independent"]},
  };
  widgets.nulls = function (root, data) {
    let now;
    const told = make("dl", {"aria-live": "polite"}), line = make("div"), note = make("p");
    const bins = make("input", {type: "range", min: 1, max: 60, value: 10, id: "w2s-bins", autocomplete: "off", oninput: draw});
    const output = make("output", {for: "w2s-bins"}, 10);
    const choices = Object.keys(MATCHINGS).map((key) =>
      option("w2s-matching", key, MATCHINGS[key].says, {checked: key === "margin", autocomplete: "off", onchange: draw}));
    const mark = (x, about, tag) => Number.isNaN(x) ? null : make(tag, {...about, transform: `translate(${10 + 280 * x})`});

    function draw() {
      const {c, cell, condition} = now, key = root.querySelector("input[name=w2s-matching]:checked").value;
      const {features, book} = MATCHINGS[key], ds = w2s.share(c.area, c.tax), mine = w2s.nullInBins(c, features, +bins.value);
      const its = cell.book[condition], theirs = book ? its[book] ?? NaN : NaN;
      output.textContent = bins.value;
      bins.setAttribute("aria-valuetext", `${bins.value} bins`);
      bins.disabled = key === "none";
      line.replaceChildren(make("svg", {viewBox: "0 0 300 44", "aria-hidden": "true"},
        make("path", {d: "M10 24H290M10 20v8M150 20v8M290 20v8", class: "lines"}),
        [0, 0.5, 1].map((x) => make("text", {x: 10 + 280 * x, y: 41, "text-anchor": "middle"}, x)),
        mark(ds, {cx: 0, cy: 24, r: 6.5, class: "lit"}, "circle"), mark(theirs, {d: "M-5 7L5 17M-5 17L5 7", class: "mark"}, "path"),
        mark(mine, {d: "M0 14V34", class: "mark"}, "path")));
      const rows = [["● deception score", show(ds)], ["❘ your null", show(mine)], ["excess: score − your null", signed(ds - mine)],
        ["taxed pairs", where(c.tax).length], ["× the book's null for this matching", book ? show(theirs) : "none"]];
      told.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
      const cells = features.length ? (+bins.value) ** features.length : 1;
      note.textContent = `${where(c.right).length} pairs can pay; they stand in ${cells} ${cells === 1 ? "bin" : "bins"}. ` +
        (cells > where(c.right).length / 10 ? "With so few pairs in each, taxed pairs are mostly compared with themselves, and every null becomes the score." : "");
    }
    const {bar, changed} = picker(data, (picked) => { now = picked; draw(); });
    root.replaceChildren(bar, make("fieldset", {}, make("legend", {}, "pairs are alike in"), choices),
      make("p", {}, make("label", {for: "w2s-bins"}, "bins of each: ", output), bins), line, told, note);
    changed();
  };

  /* Deception or churn? The planes stand in the page; here are answers and score. */
  widgets.churn = function (root, data) {
    const button = root.querySelector("button"), said = root.querySelector("output"), planes = data.planes;
    const sides = [...root.querySelectorAll("fieldset")];
    button.disabled = planes.length === 0;
    button.addEventListener("click", () => {
      const answers = sides.map((side) => side.querySelector("input:checked"));
      const open = answers.filter((x) => !x).length;
      if (open) return said.replaceChildren(`${open} of ${planes.length} planes have no answer yet.`);
      const right = answers.filter((x, i) => x.value === planes[i].condition).length, n = planes.length;
      sides.forEach((side, i) => {
        const one = planes[i], hit = answers[i].value === one.condition;
        side.querySelector(".truth").textContent = `${hit ? "✓" : "✗"} ${one.condition}, ${one.weak} → ${one.strong}, seed ${one.seed}: ` +
          `score ${show(one.ds)}, null ${show(one.margin_matched)}, excess ${signed(one.excess)}`;
      });
      const luck = w2s.byLuck(right, n);
      said.replaceChildren(make("strong", {}, `${right} of ${n}.`), ` A coin gets ${n / 2} on average, and at least ${right} with a probability of ${luck.toFixed(2)}. ` +
        `Who calls the half with the larger deception score a conflict gets ${data.rules.ds}; who goes by the excess over the margin-matched null, ${data.rules.excess}.`);
    });
  };

  /* Begin */

  w2s.begin = function () {
    document.querySelectorAll("[data-play]").forEach((root) => {
      const data = window.w2sPlay, start = widgets[root.dataset.play];
      if (!start || root.dataset.begun || (!data && !root.dataset.alone)) return;
      root.dataset.begun = "yes";
      start(root, data);
    });
  };
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", w2s.begin);
  else w2s.begin();
})();
