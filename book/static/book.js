// What a reader can move: verdicts by margin and confidence, rows of a table by a click. Without this script the pages
// say the same. No dependency, no network.
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".lowres-explorer").forEach(explore);
  document.querySelectorAll(".lowres-records table").forEach(sortable);
  // The words of a fold say what is in it; the builder's label says "Toggle hidden content" in place of each.
  document.querySelectorAll('summary[aria-label="Toggle hidden content"]').forEach((fold) => {
    fold.removeAttribute("aria-label");
  });
  // A region is a landmark and a stop of the Tab key: only where there is something to scroll.
  document.querySelectorAll(".lowres-table[tabindex]").forEach((box) => {
    if (box.scrollWidth <= box.clientWidth) {
      box.removeAttribute("tabindex");
      box.removeAttribute("role");
      box.removeAttribute("aria-label");
    }
  });
});

const CONFIDENCES = ["80 %", "90 %", "95 %", "99 %", "99.9 %"];
const SIGNS = { reproduced: "✓", partly: "◐", "not reproduced": "✗", "cannot tell": "?" };

function explore(place) {
  place.hidden = false;
  place.innerHTML =
    '<fieldset><legend>Move the rule, see the verdicts</legend>' +
    '<label>Confidence <input type="range" min="0" max="4" step="1" value="2"> <output>95 %</output></label> ' +
    '<label>Margin times <input type="range" min="0" max="3" step="0.1" value="1"> <output>1.0</output></label> ' +
    '<button type="button">As committed</button><p aria-live="polite"></p></fieldset>';
  const [confidence, factor] = place.querySelectorAll("input");
  const [level, times] = place.querySelectorAll("output");
  const claims = [...document.querySelectorAll(".lowres-decided")].map((box) => ({
    box, badge: box.querySelector(".lowres-verdict"), committed: box.querySelector(".lowres-verdict").innerHTML,
  }));
  const move = () => {
    level.value = CONFIDENCES[confidence.value];
    times.value = Number(factor.value).toFixed(1);
    const asCommitted = confidence.value === "2" && Number(factor.value) === 1;
    claims.forEach((claim) => judge(claim, Number(confidence.value), Number(factor.value), asCommitted));
    place.querySelector("p").textContent = asCommitted
      ? "This is the rule as it was committed, with Holm's correction."
      : "Each claim by itself, without Holm's correction.";
  };
  confidence.addEventListener("input", move);
  factor.addEventListener("input", move);
  place.querySelector("button").addEventListener("click", () => { confidence.value = 2; factor.value = 1; move(); });
  move();
}

function judge({ box, badge, committed }, confidence, factor, asCommitted) {
  const rows = [...box.querySelectorAll("tr[data-estimate]")];
  const answers = rows.map((row) => answer(row, confidence, factor));
  if (asCommitted || !rows.length) {
    badge.innerHTML = committed;
    return;
  }
  const found = new Set(answers);
  const outcome = found.has("yes") && found.has("no") ? "partly"
    : found.has("unclear") ? "cannot tell" : found.has("yes") ? "reproduced" : "not reproduced";
  badge.innerHTML = `<span class="lowres-badge lowres-${outcome.replace(" ", "-")}">${SIGNS[outcome]} ${outcome}</span>`;
}

function answer(row, confidence, factor) {
  const estimate = Number(row.dataset.estimate), half = Number(row.dataset.halves.split(",")[confidence]);
  const boundary = Number(row.dataset.boundary) * factor, kind = row.dataset.kind;
  const low = estimate - half, high = estimate + half;
  let said;
  if (kind === "within") {
    said = high < boundary && low > -boundary ? "yes" : low > boundary || high < -boundary ? "no" : "unclear";
  } else {
    said = low > boundary ? "above" : high < boundary ? "below" : "unclear";
    said = said === "unclear" ? said : (said === kind ? "yes" : "no");
  }
  draw(row.querySelector("svg"), low, high, kind === "within" ? [-boundary, boundary] : [boundary]);
  row.querySelector(".lowres-answer").textContent = said;
  return said;
}

function draw(svg, low, high, boundaries) {
  const limit = Number(svg.dataset.limit);
  const x = (value) => (120 + 114 * Math.max(-1, Math.min(1, value / limit))).toFixed(1);
  const ends = svg.querySelector(".lowres-ends");
  ends.setAttribute("x1", x(low));
  ends.setAttribute("x2", x(high));
  svg.querySelectorAll(".lowres-margin").forEach((line, index) => {
    line.setAttribute("x1", x(boundaries[index]));
    line.setAttribute("x2", x(boundaries[index]));
  });
}

function sortable(table) {
  const body = table.tBodies[0], rows = [...body.rows];
  const search = document.createElement("input");
  search.type = "search";
  search.placeholder = "Show rows with ...";
  search.setAttribute("aria-label", "Show rows that hold these words");
  table.parentElement.before(search);
  search.addEventListener("input", () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    rows.forEach((row) => { row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word)); });
  });
  [...table.tHead.rows[0].cells].forEach((cell, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = cell.textContent;
    cell.replaceChildren(button);
    button.addEventListener("click", () => {
      const up = cell.getAttribute("aria-sort") !== "ascending";
      [...cell.parentElement.cells].forEach((other) => other.removeAttribute("aria-sort"));
      cell.setAttribute("aria-sort", up ? "ascending" : "descending");
      const value = (row) => row.cells[column].textContent.trim();
      const number = (text) => Number(text.replaceAll(",", ""));
      const compare = (a, b) => (value(a) && value(b) && !isNaN(number(value(a))) && !isNaN(number(value(b)))
        ? number(value(a)) - number(value(b)) : value(a).localeCompare(value(b)));
      rows.sort((a, b) => (up ? 1 : -1) * compare(a, b)).forEach((row) => body.append(row));
    });
  });
}
