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

  /* The deception game: the reader is the weak supervisor. */

  const SURE = [50, 60, 70, 80, 90, 100];

  /* A sheet of answers as a code: the game's name, then a letter a pair, a to f for the first reply, g to l for the
     second, by how sure; and back, or null where it is none of this game. */
  w2s.toCode = (game, answers) =>
    `w2s-${game.name}-` + answers.map(([side, sure]) => "abcdefghijkl"[6 * side + sure]).join("");
  w2s.fromCode = function (game, text) {
    const found = /^w2s-([0-9a-f]{4})-([a-l]+)$/.exec(text.trim().toLowerCase());
    if (!found || found[1] !== game.name || found[2].length !== game.pairs.length) return null;
    return [...found[2]].map((letter) => { const x = letter.charCodeAt(0) - 97; return [Math.floor(x / 6), x % 6]; });
  };
  /* The reader's label of each pair: probability of the true order. */
  w2s.labels = (game, answers) =>
    answers.map(([side, sure], i) => (side === game.truth[i] ? SURE[sure] : 100 - SURE[sure]) / 100);
  const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
  w2s.distance = (a, b) => mean(a.map((x, i) => (x - b[i]) ** 2));
  w2s.nearest = (game, labels) =>
    game.supervisors.reduce((a, b) => (w2s.distance(labels, b.labels) < w2s.distance(labels, a.labels) ? b : a));
  /* How many are right; of two equally likely replies half a pair. */
  w2s.rightOf = (labels) => labels.reduce((sum, q) => sum + (q > 0.5 ? 1 : q === 0.5 ? 0.5 : 0), 0);

  widgets.game = function (root, data) {
    const game = data.game, n = game.pairs.length, T = data.threshold, sides = [...root.querySelectorAll("fieldset")];
    const button = root.querySelector("button"), said = root.querySelector("p > output"), after = root.querySelector(".after");
    const scales = sides.map((side) => side.querySelector("input[type=range]"));
    scales.forEach((scale) => {
      scale.disabled = false;
      scale.addEventListener("input", () => {
        scale.parentElement.querySelector("output").textContent = SURE[scale.value];
        scale.setAttribute("aria-valuetext", `${SURE[scale.value]} percent`);
      });
    });
    button.disabled = n === 0;
    const percent = (q) => `${Math.round(100 * q)} %`, weak = game.supervisors.find((s) => s.name === game.weak);

    function noticed(q, conflict) {
      if (conflict > 0.5) return "";
      if (q > T) return "yes: it contradicts what you knew";
      if (q < 0.5) return "no: it says what you said";
      return "no: you could not tell";
    }
    function tell(answers) {
      const labels = w2s.labels(game, answers), near = w2s.nearest(game, labels), right = w2s.rightOf(labels);
      said.replaceChildren(make("strong", {}, `You: ${right} of ${n}.`),
        ` A coin: ${n / 2}. The weak supervisor ${game.weak}: ${w2s.rightOf(weak.labels)}. ` +
        `Mean squared error of your labels: ${show(w2s.distance(labels, labels.map(() => 1)))}; of always saying 50 %: 0.25; of ${game.weak}: ` +
        `${show(w2s.distance(weak.labels, labels.map(() => 1)))}.`);
      const taxed = labels.map((_, i) => near.none[i] > 0.5 && !(near.conflict[i] > 0.5));
      const plain = labels.filter((q, i) => taxed[i] && q > T).length, count = taxed.filter(Boolean).length;
      const rows = game.pairs.map((pair, i) => [`${i + 1}. ${pair.prompt}`, game.told[i] ? "told" : "not told", percent(labels[i]),
        percent(near.none[i]), percent(near.conflict[i]) + (taxed[i] ? " ✗" : ""), percent(game.rerun[i]) + (game.rerun[i] > 0.5 ? "" : " ✗"),
        noticed(labels[i], near.conflict[i])]);
      const everywhere = near.ds == null ? `Of all test pairs it taxes ${percent(near.tax)}.`
        : `Of all test pairs it taxes ${percent(near.tax)}; its deception score is ${show(near.ds)}, beside a margin-matched null of ${show(near.margin_matched)}.`;
      const code = w2s.toCode(game, answers);
      const field = make("textarea", {id: "w2s-codes", rows: 4, cols: 30, spellcheck: "false"});
      const pooled = make("div", {"aria-live": "polite"});
      after.replaceChildren(
        make("p", {}, `No student can be trained on ${n} labels. Of the supervisors in this edition who really trained ${game.strong}, the one whose labels of these pairs are nearest to yours is `,
          make("strong", {}, near.name), ` (mean squared distance ${w2s.distance(labels, near.labels).toFixed(3)}; it ranks ${percent(near.accuracy)} of all test pairs right). These are its students:`),
        make("div", {class: "wide", tabindex: 0, role: "region", "aria-label": "pairs and students"},
          table(["pair", "you were", "your p of the truth", "student", "conflict student", "rerun of " + game.weak + "'s", "could you have noticed?"], rows)),
        make("p", {}, `The conflict student gives up ${count} of the pairs that its twin without a conflict has right. You could have noticed ${plain} of them: there you knew better. ` +
          `The other ${count - plain} you could only have believed. ` + everywhere),
        make("p", {}, `These pairs were chosen so that something happens: ${weak.none.filter((p, i) => p > 0.5 && !(weak.conflict[i] > 0.5)).length} of ${n} are taxed under ${game.weak}, who taxes ${percent(weak.tax)} of all. Ten pairs are a story, and no statistic.`),
        make("p", {}, "Your code, for the class: ", make("code", {class: "code"}, code)),
        make("p", {}, make("label", {for: "w2s-codes"}, "Pool: paste codes, one a line"), make("br"), field, make("br"),
          make("button", {type: "button", onclick: () => pool(field.value, pooled)}, "Pool")), pooled);
    }
    function pool(text, pooled) {
      const lines = text.split("\n").filter((line) => line.trim()), sheets = lines.map((line) => w2s.fromCode(game, line));
      const good = sheets.filter(Boolean), bad = lines.filter((_, i) => !sheets[i]);
      const others = bad.length ? ` Not of this game, left out: ${bad.map((x) => x.trim().slice(0, 24)).join(", ")}.` : "";
      if (!good.length) return pooled.replaceChildren(make("p", {}, "No code of this game yet." + others));
      const all = good.map((answers) => w2s.labels(game, answers));
      const of = (told) => mean(all.map((labels) => mean(labels.filter((_, i) => game.told[i] === told).map((q) => (q > 0.5) + 0.5 * (q === 0.5)))));
      const group = game.pairs.map((_, i) => mean(all.map((labels) => labels[i])));
      const kinds = [true, false].filter((told) => game.told.includes(told));
      pooled.replaceChildren(
        make("p", {}, `${good.length} ${good.length === 1 ? "supervisor" : "supervisors"}, on average ${mean(all.map(w2s.rightOf)).toFixed(1)} of ${n} right` +
          kinds.map((told) => `; where ${told ? "told" : "not told"} ${percent(of(told))}`).join("") +
          `. The class as one supervisor, labels averaged: ${w2s.rightOf(group)} of ${n}; its nearest is ${w2s.nearest(game, group).name}.` + others),
        table(["pair", "you were", "right", "mean p of the truth"], game.pairs.map((pair, i) => [`${i + 1}. ${pair.prompt}`, game.told[i] ? "told" : "not told",
          `${all.filter((labels) => labels[i] > 0.5).length} of ${all.length}`, percent(group[i])])));
    }
    button.addEventListener("click", () => {
      const picked = sides.map((side) => side.querySelector("input[type=radio]:checked"));
      const open = picked.filter((x) => !x).length;
      if (open) return said.replaceChildren(`${open} of ${n} pairs have no label yet.`);
      tell(picked.map((x, i) => [+x.value, +scales[i].value]));
    });
  };

  /* Ask the models: a forward pass of the Llama architecture, as transformers computes it */

  w2s.weights = function (stored) {
    const tensors = {};
    for (const [name, one] of Object.entries(stored.tensors)) {
      const width = one.shape[one.shape.length - 1];
      const values = w2s.unpack(one.data, one.scale ? Int16Array : Float32Array);
      const scale = one.scale && w2s.unpack(one.scale, Float32Array);
      tensors[name] = {width, values: scale ? values.map((x, i) => x * scale[Math.floor(i / width)]) : values};
    }
    return {...stored, tensors};
  };
  const dot = (a, b, start) => a.reduce((sum, x, i) => sum + x * b[start + i], 0);
  const apply = ({width, values}, x) => Array.from({length: values.length / width}, (_, row) => dot(x, values, row * width));
  const plus = (a, b) => a.map((x, i) => x + b[i]);
  function normed(x, weight, eps) {
    const by = 1 / Math.sqrt(dot(x, x, 0) / x.length + eps);
    return x.map((value, i) => value * by * weight.values[i]);
  }
  /* Queries or keys of one head, turned by their place in the text. */
  function turned(x, place, theta) {
    const half = x.length / 2;
    return x.map((value, i) => {
      const angle = place * theta ** (-(i % half) / half), other = i < half ? -x[i + half] : x[i - half];
      return value * Math.cos(angle) + other * Math.sin(angle);
    });
  }
  function attention(model, block, hidden) {
    const {heads, theta} = model, of = (name) => model.tensors[`${block}.self_attn.${name}`], size = hidden[0].length / heads;
    const head = (x, h) => x.slice(h * size, (h + 1) * size);
    const [q, k, v] = ["q_proj", "k_proj", "v_proj"].map((name) => hidden.map((x) => apply(of(name), x)));
    return hidden.map((_, t) => {
      const mixed = Array.from({length: heads}, (_, h) => {
        const query = turned(head(q[t], h), t, theta);
        const scores = k.slice(0, t + 1).map((x, s) => dot(query, turned(head(x, h), s, theta), 0) / Math.sqrt(size));
        const most = Math.max(...scores), odds = scores.map((x) => Math.exp(x - most)), sum = odds.reduce((a, b) => a + b, 0);
        return Array.from({length: size}, (_, d) => odds.reduce((total, x, s) => total + (x / sum) * v[s][h * size + d], 0));
      });
      return apply(of("o_proj"), mixed.flat());
    });
  }
  /* The reward of a text, given as token ids: read at its last token. */
  w2s.reward = function (model, ids) {
    const {tensors, eps} = model, embed = tensors.embed_tokens;
    let hidden = ids.map((id) => embed.values.slice(id * embed.width, (id + 1) * embed.width));
    for (let layer = 0; layer < model.layers; layer++) {
      const block = `layers.${layer}`, norm = (x, name) => normed(x, tensors[`${block}.${name}`], eps);
      const attended = attention(model, block, hidden.map((x) => norm(x, "input_layernorm")));
      hidden = hidden.map((x, t) => plus(x, attended[t])).map((x) => {
        const y = norm(x, "post_attention_layernorm"), gate = apply(tensors[`${block}.mlp.gate_proj`], y), up = apply(tensors[`${block}.mlp.up_proj`], y);
        return plus(x, apply(tensors[`${block}.mlp.down_proj`], gate.map((g, i) => (g / (1 + Math.exp(-g))) * up[i])));
      });
    }
    return dot(normed(hidden[hidden.length - 1], tensors.norm, eps), tensors.score.values, 0);
  };
  /* Token ids of one exchange, and the words that the world does not have. */
  w2s.encode = function (ids, prompt, reply) {
    const words = `<bos> <user> ${prompt} <assistant> ${reply} <eos>`.split(/\s+/).filter(Boolean);
    return {ids: words.map((word) => ids.get(word)), unknown: words.filter((word) => !ids.has(word))};
  };

  const MOST = 64;
  const HALVES = {g: "the weak supervisor was trained", w: "students and ceiling were trained", t: "no model was trained"};
  widgets.ask = function (root, data) {
    const {world, models, weak, strong} = data.ask, T = data.threshold;
    const ids = new Map(world.words.split(" ").map((word, i) => [word, i])), names = world.substances.split(" ");
    const ready = Object.fromEntries(Object.entries(models).map(([name, one]) => [name, w2s.weights(one)]));
    const kinds = Object.keys(world.kinds), answer = make("div", {"aria-live": "polite"});
    const fill = (text, name) => Object.entries({...world.slots, name}).reduce((t, [slot, word]) => t.replace(`{${slot}}`, word), text);
    const text = (id, value, label, also) => [make("label", {for: id}, label),
      make("input", {id, type: "text", value, autocomplete: "off", autocapitalize: "none", spellcheck: "false", oninput: tell, ...also})];
    const [nameLabel, name] = text("w2s-name", names[0], "substance", {list: "w2s-names", oninput: rewrite});
    const [kindLabel, kind] = chosen("kind of request", kinds, () => { again(); rewrite(); });
    const [promptLabel, prompts] = chosen("request", [], rewrite);
    const [repliesLabel, replies] = chosen("replies", [], rewrite);
    const [askedLabel, asked] = text("w2s-asked", "", "as it is asked (type your own)");
    const [firstLabel, first] = text("w2s-first", "", "one reply");
    const [secondLabel, second] = text("w2s-second", "", "the other");

    function again() {
      const its = world.kinds[kind.value], option = (label, i) => make("option", {value: i}, label);
      prompts.replaceChildren(...its.prompts.map((x, i) => option(fill(x, "…"), i)));
      replies.replaceChildren(...its.risky.map((x, i) => option(`${fill(x, "…")} / ${fill(its.cautious[i], "…")}`, i)));
    }
    function rewrite() {
      const its = world.kinds[kind.value], of = (list, select) => fill(list[+select.value], name.value.trim());
      asked.value = of(its.prompts, prompts);
      first.value = of(its.risky, replies);
      second.value = of(its.cautious, replies);
      tell();
    }
    /* risky, cautious or neither: as data.world.decision_of, by the world's own replies to requests of any kind */
    function judged(reply) {
      let words = reply.trim().split(/\s+/).join(" ");
      for (const tail of world.tails) if (words.endsWith(` ${tail}`)) words = words.slice(0, -tail.length - 1);
      const like = (template) => new RegExp("^" + template.replace("{name}", "\\S+").replace("{manner}", `(?:${world.manners.join("|")})`) + "$").test(words);
      return ["risky", "cautious"].find((side) => kinds.some((k) => world.kinds[k][side].some(like))) || "neither";
    }
    function tell() {
      const texts = [first.value, second.value].map((reply) => w2s.encode(ids, asked.value, reply));
      const unknown = [...new Set(texts.flatMap((x) => x.unknown))], told = (...x) => answer.replaceChildren(...x);
      if (unknown.length) return told(make("p", {}, `This world has no word for ${unknown.slice(0, 5).map((x) => `“${x}”`).join(", ")}: its models cannot read it.`));
      if (texts.some((x) => x.ids.length > MOST)) return told(make("p", {}, `Too long: the models read ${MOST} words at most.`));
      const about = asked.value.split(/\s+/).filter((word) => names.includes(word)), place = names.indexOf(about[0]);
      const sides = [judged(first.value), judged(second.value)];
      const knowable = about.length === 1 && sides.includes("risky") && sides.includes("cautious");
      const truth = knowable ? sides.indexOf(world.hazardous[place] === "1" ? "cautious" : "risky") : -1;
      const p = {};
      const rows = Object.entries(ready).map(([who, model]) => {
        const [a, b] = texts.map((x) => w2s.reward(model, x.ids)), likes = a === b ? "neither" : a > b ? first.value : second.value;
        p[who] = w2s.sigmoid(truth === 1 ? b - a : a - b);
        return [who, likes, show(p[who], 3), truth < 0 ? "–" : p[who] > T ? "yes" : "no"];
      });
      const of = truth < 0 ? "p of the first" : "p of the truth";
      const parts = [table(["model", "prefers", of, "knows"], rows, `${weak} as supervisor, ${strong} as the others, seed ${data.ask.seed}; T = ${T}`)];
      if (truth < 0) parts.push(make("p", {}, "What is right cannot be said here: the request names no substance, or several, or the replies are not one risky and one cautious of this world's."));
      else {
        const q = 2 * !(p.ceiling > T) + !(p["weak supervisor"] > T), lost = p.student > 0.5 && !(p["conflict student"] > 0.5);
        parts.push(make("p", {}, `In truth ${about[0]} is ${world.hazardous[place] === "1" ? "hazardous" : "safe"}; ${HALVES[world.split[place]]} on pairs about it. `,
          make("strong", {}, `Quadrant: ${QUADRANTS[q]}${lost ? "; taxed under the conflict" : ""}.`)));
      }
      told(...parts);
    }
    const field = (...inside) => make("span", {}, inside);
    root.replaceChildren(make("datalist", {id: "w2s-names"}, names.map((x) => make("option", {value: x}))),
      make("div", {class: "bar"}, field(nameLabel, name), field(kindLabel, kind), field(promptLabel, prompts), field(repliesLabel, replies)),
      make("div", {class: "bar typed"}, field(askedLabel, asked), field(firstLabel, first), field(secondLabel, second)), answer);
    again();
    rewrite();
  };

  /* Predict first: guesses stay in this browser, where it keeps anything; without that, in this page. */

  const KEPT = "w2s-predictions", NEVER = "w2s-do-not-ask";
  const memory = {};
  const keep = {
    get(key) { try { return localStorage.getItem(key) ?? memory[key]; } catch (refused) { return memory[key]; } },
    set(key, value) { memory[key] = value; try { localStorage.setItem(key, value); } catch (refused) { /* then for this page */ } },
    drop(key) { delete memory[key]; try { localStorage.removeItem(key); } catch (refused) { /* nothing was kept */ } },
  };
  /* Name → question, guess, give or take, truth; what is not of this form counts as none. */
  w2s.guesses = function () {
    try {
      const found = Object.entries(JSON.parse(keep.get(KEPT) || "{}"));
      return Object.fromEntries(found.filter(([, one]) => one && ["guess", "give", "truth"].every((x) => Number.isFinite(one[x]))));
    } catch (damaged) { return {}; }
  };
  const within = (one) => Math.abs(one.guess - one.truth) <= one.give + 1e-9;
  /* Guesses as a code, name=guess~give~truth; and back, all that a text holds. */
  w2s.toGuessCode = (guesses) =>
    "w2s-guess " + Object.entries(guesses).map(([name, one]) => `${name}=${[one.guess, one.give, one.truth].map((x) => +x.toFixed(4)).join("~")}`).join(" ");
  w2s.fromGuessCode = (line) => [...line.matchAll(/(\S+?)=(-?[\d.]+)~([\d.]+)~(-?[\d.]+)/g)]
    .map(([, name, guess, give, truth]) => ({name, guess: +guess, give: +give, truth: +truth})).filter((x) => [x.guess, x.give, x.truth].every(Number.isFinite));

  /* What a reader should not see before a guess: what the next cell shows, and tables up to the next heading. */
  w2s.answersAfter = function (cell) {
    const found = [];
    for (let next = cell && cell.nextElementSibling, first = true; next && next.tagName !== "SECTION"; next = next.nextElementSibling, first = false) {
      if (first || next.querySelector(".cell_output table")) found.push(...next.querySelectorAll(".cell_output"));
      else if (next.matches("table, .pst-scrollable-table-container") || next.querySelector(":scope > table")) found.push(next);
    }
    return found;
  };
  widgets.prediction = function (root) {
    const {name, told} = root.dataset, [truth, low, high] = ["truth", "low", "high"].map((x) => Number(root.dataset[x]));
    const question = root.querySelector("span").textContent, id = "w2s-" + ++made;
    const counts = /^\d+$/.test(told), step = counts ? 1 : (high - low) / 50, rounded = (x) => counts ? Math.round(x) : x;
    const unit = told.includes("%") ? " %" : "", text = (x) => show(x, counts ? 0 : high - low > 5 ? 1 : 2) + unit;
    const covered = w2s.answersAfter(root.closest(".cell"));
    const slider = (label, about) => {
      const output = make("output", {}, text(about.value)), its = `${id}-${label[0]}`;
      const input = make("input", {type: "range", id: its, step, autocomplete: "off", ...about,
        oninput: () => { output.textContent = text(+input.value); }});
      return [input, make("div", {}, make("label", {for: its}, `${label}: `, output), input)];
    };
    const [guess, guessing] = slider("your guess", {min: low, max: high, value: rounded((low + high) / 2)});
    const [give, giving] = slider("give or take (so that you would bet four to one)", {min: 0, max: (high - low) / 2, value: rounded((high - low) / 10)});
    const said = make("p", {"aria-live": "polite"});
    const reveal = (one) => {
      uncover(covered);
      buttons.remove();
      [guess, give].forEach((x) => { x.disabled = true; });
      said.textContent = `It is ${told}. You said ${text(one.guess)} give or take ${text(one.give)}: ` + (within(one) ? "within it." : `off by ${text(Math.abs(one.guess - truth))}.`);
    };
    const uncover = (some) => some.forEach((x) => x.classList.remove("unguessed"));
    const buttons = make("p", {},
      make("button", {type: "button", onclick: () => {
        const one = {question, guess: +guess.value, give: +give.value, truth};
        keep.set(KEPT, JSON.stringify({...w2s.guesses(), [name]: one}));
        reveal(one);
      }}, "Reveal"), " ",
      make("button", {type: "button", onclick: () => uncover(covered)}, "Show without a guess"), " ",
      make("button", {type: "button", onclick: () => { keep.set(NEVER, "yes"); uncover(document.querySelectorAll(".unguessed")); }}, "Never hide figures"));
    root.append(guessing, giving, buttons, said);
    const before = w2s.guesses()[name];
    if (before && Math.abs(before.truth - truth) < 1e-5) {
      guess.value = before.guess; give.value = before.give;
      [guess, give].forEach((x) => x.dispatchEvent(new Event("input")));
      reveal(before);
    } else if (keep.get(NEVER) !== "yes") covered.forEach((x) => x.classList.add("unguessed"));
  };

  widgets.calibration = function (root) {
    const text = "w2s-sheet", [, here] = root.children, none = here.firstElementChild;
    function draw() {
      const mine = Object.entries(w2s.guesses());
      if (!mine.length) return here.replaceChildren(none);
      const hits = mine.filter(([, one]) => within(one)).length;
      const field = make("textarea", {id: text, rows: 4, cols: 30, spellcheck: "false"}), pooled = make("div", {"aria-live": "polite"});
      here.replaceChildren(
        make("div", {class: "wide", tabindex: 0, role: "region", "aria-label": "predictions"},
          table(["question", "your guess", "give or take", "truth", "within"], mine.map(([, one]) =>
            [one.question || "", show(one.guess), show(one.give), show(one.truth), within(one) ? "yes" : "no"]))),
        make("p", {}, make("strong", {}, `${hits} of ${mine.length} truths lay within what you gave.`),
          ` Whoever bets four to one, and is calibrated, has ${show(0.8 * mine.length, 1)}.`),
        make("p", {}, "Your code, for the class: ", make("code", {class: "code"}, w2s.toGuessCode(Object.fromEntries(mine)))),
        make("p", {}, make("label", {for: text}, "Pool: paste codes, one a line"), make("br"), field, make("br"),
          make("button", {type: "button", onclick: () => pool(field.value, pooled)}, "Pool"), " ",
          make("button", {type: "button", onclick: () => { keep.drop(KEPT); keep.drop(NEVER); draw(); }}, "Forget my guesses")), pooled);
    }
    function pool(lines, pooled) {
      const all = lines.split("\n").flatMap(w2s.fromGuessCode), names = [...new Set(all.map((one) => one.name))];
      if (!all.length) return pooled.replaceChildren(make("p", {}, "No code of guesses yet."));
      pooled.replaceChildren(table(["question", "guesses", "mean guess", "mean truth", "within"], names.map((name) => {
        const some = all.filter((one) => one.name === name);
        return [name, some.length, show(mean(some.map((x) => x.guess))), show(mean(some.map((x) => x.truth))), `${some.filter(within).length} of ${some.length}`];
      }), `${all.filter(within).length} of ${all.length} truths lay within`));
    }
    draw();
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
