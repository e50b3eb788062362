// A card for each source of a run, from what /api/stream sends as it comes.
// Text comes from media and is put in as text only, never as markup; `el`, `clock`, `plural` are those of reports.
"use strict";

const page = document.querySelector(".page");
const SPAN = 60 * Number(page.dataset.minutes);
const LABELS = 5;
const LEAST_PEAK = 0.05; // a label that never gets so far is not shown
const STATES = {
  waiting: ["waiting", "rest"], working: ["at work", "well"], pausing: ["coming to rest", "rest"], paused: ["paused", "rest"],
  removing: ["being removed", "rest"], removed: ["removed", "rest"], done: ["done", "rest"],
  quarantined: ["given up", "trouble"], skipped: ["left out", "rest"],
};
const MILD = new Set(["removed", "done", "skipped"]);
const byId = (id) => document.getElementById(id);
const two = (score) => score.toFixed(2);

function ofDay(iso) {
  return new Date(iso).toLocaleTimeString("en-GB");
}

class Card {
  constructor(told) {
    this.id = told.id;
    this.rows = [];
    this.pause = el("button", { class: "act", type: "button", onclick: () => this.rest() });
    this.remove = el("button", { class: "act", type: "button", onclick: () => this.leave() }, "Remove");
    this.name = el("h2", { title: told.name }, ...named(told.name));
    this.badge = el("span", { class: "badge" });
    this.picture = el("img", { class: "picture", alt: "", hidden: true });
    this.labels = el("div", { class: "labels-now" });
    this.spanned = el("div", { class: "span" }, el("span"), el("span"));
    this.sight = el("div", { class: "sight bare" }, this.picture, el("div", null, this.labels, this.spanned));
    this.voices = el("div", { class: "voices" });
    this.facts = el("p", { class: "facts" });
    this.detail = el("p", { class: "detail" });
    this.happened = el("ol", { class: "happened", "aria-label": "Events", tabindex: "0" });
    this.element = el("article", { class: "card", tabindex: "0", "aria-label": told.name, "data-id": told.id, onkeydown: (e) => this.key(e) },
      el("header", null, this.name, this.badge, this.pause, this.remove),
      this.sight, this.voices, this.facts, this.detail, this.happened);
    this.take(told);
  }

  take(told) {
    this.told = told;
    this.rows.push(...told.rows);
    const end = this.rows.length ? this.rows[this.rows.length - 1].end : 0;
    this.rows = this.rows.filter((row) => row.end > end - SPAN);
    this.draw();
  }

  // --- drawing

  draw() {
    const { state, live, detail, picture } = this.told;
    const last = this.rows[this.rows.length - 1];
    const isOut = state === "working" && last && last.outage;
    const [words, mood] = isOut ? ["no connection", "trouble"] : STATES[state] || [state, "rest"];
    this.element.dataset.state = state;
    const begins = state === "working" && !this.told.segments;
    this.badge.textContent = begins ? "opening" : live && words === "at work" ? "live" : words;
    this.badge.dataset.mood = begins ? "rest" : mood;
    const canResume = state === "paused" || state === "quarantined";
    this.pause.textContent = state === "quarantined" ? "Try again" : state === "paused" ? "Resume" : "Pause";
    this.pause.hidden = !(canResume || state === "working" || state === "waiting" || state === "pausing");
    this.pause.disabled = state === "pausing";
    this.remove.hidden = !["working", "waiting", "paused", "pausing"].includes(state);
    if (picture && picture !== this.shown) {
      this.shown = picture;
      this.picture.src = `/api/sources/${this.id}/picture?n=${picture}`;
      this.picture.hidden = false;
      this.sight.classList.remove("bare");
    }
    const why = isOut ? last.outage : detail;
    this.detail.textContent = why || "";
    this.detail.hidden = !why;
    this.detail.classList.toggle("mild", MILD.has(state));
    this.drawLabels(last);
    this.drawVoices(last);
    this.drawFacts();
    this.drawEvents();
  }

  drawLabels(last) {
    const peaks = new Map();
    for (const row of this.rows) for (const [label, score] of row.found) peaks.set(label, Math.max(score, peaks.get(label) || 0));
    const shown = [...peaks].filter(([, peak]) => peak >= LEAST_PEAK).sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, LABELS);
    this.labels.replaceChildren(...shown.map(([label]) => this.labelRow(label, last)));
    this.spanned.hidden = !shown.length;
    if (!shown.length) {
      this.labels.append(el("p", { class: "dim small" }, this.rows.length ? "nothing that is looked for" : "no segment yet"));
      return;
    }
    const first = this.rows[0];
    const [from, to] = this.spanned.children;
    from.textContent = first.at ? `\u2212${clock(last.end - first.start)}` : clock(first.start);
    to.textContent = last.at ? ofDay(last.at) : clock(last.end);
  }

  labelRow(label, last) {
    const found = last.found.find(([one]) => one === label);
    const score = found ? found[1] : 0;
    const fill = el("i");
    fill.style.width = `${100 * score}%`;
    return el("div", { class: "label-row", "data-label": label },
      el("div", { class: "name" }, el("span", { title: label }, label), el("div", { class: "bar" }, fill)),
      this.lane(label), el("span", { class: "value" }, two(score)));
  }

  // The score of a label over the last minutes, as steps; where there was no connection, hatched; events below.
  lane(label) {
    const [zero, end] = [this.rows[0].start, this.rows[this.rows.length - 1].end];
    const length = Math.max(end - zero, 1e-3);
    let path = "";
    const marks = [];
    for (const row of this.rows) {
      const found = row.found.find(([one]) => one === label);
      if (found) path += `M${(row.start - zero).toFixed(3)},1V${(1 - found[1]).toFixed(3)}H${(row.end - zero).toFixed(3)}V1Z`;
      if (row.outage) marks.push(span("mark outage", row.start, row.end));
    }
    for (const event of this.told.events) if (event.label === label && event.end > zero) marks.push(span("event", event.start, event.end));
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("viewBox", `0 0 ${length} 1`);
    svg.setAttribute("aria-hidden", "true");
    const shape = document.createElementNS(SVG, "path");
    shape.setAttribute("d", path);
    svg.append(shape);
    return el("div", { class: "lane" }, svg, ...marks);

    function span(kind, start, until) {
      const made = el("i", { class: kind });
      const left = Math.max(0, (start - zero) / length);
      made.style.left = `${100 * left}%`;
      made.style.width = `${100 * (Math.min(1, (until - zero) / length) - left)}%`;
      return made;
    }
  }

  drawVoices(last) {
    const made = [];
    for (const [name, voice] of Object.entries(last && !last.outage ? last.alone : {})) {
      if (voice.status === "absent") continue;
      const best = voice.labels[0];
      const words = best && voice.status === "ok" ? `${best[0]} ${two(best[1])}` : voice.status;
      made.push(el("span", { "data-hue": name }, el("b", null, name), words));
    }
    this.voices.replaceChildren(...made);
    this.voices.hidden = !made.length;
  }

  drawFacts() {
    const { live, segments } = this.told;
    const parts = live ? [`lag ${live.lag_seconds.toFixed(1)} s`, `${live.dropped_segments} dropped`,
      plural(live.reconnects + live.reopens, "reconnect"),
      live.outage_seconds ? `${Math.round(live.outage_seconds)} s of outages` : ""] : [];
    this.facts.hidden = !segments;
    this.facts.textContent = [plural(segments, "segment"), ...parts].filter(Boolean).join(" · ");
  }

  drawEvents() {
    const { events } = this.told;
    this.happened.hidden = !events.length;
    this.happened.replaceChildren(...events.map((event) => el("li", event.state === "close" ? null : { class: "open" },
      el("span", { class: "when" }, event.at ? ofDay(event.at) : clock(event.start)),
      el("span", event.state === "close" ? null : { class: "on" }, event.label),
      el("span", { class: "value" }, `${event.state === "close" ? `${(event.end - event.start).toFixed(0)} s, ` : "now, "}${two(event.score)}`))));
  }

  // --- what can be done with it

  rest() {
    const canResume = this.told.state === "paused" || this.told.state === "quarantined";
    ask("POST", `/api/sources/${this.id}/${canResume ? "resume" : "pause"}`);
  }

  // Asked once more, since it does not come back by itself.
  leave() {
    if (!this.remove.classList.contains("sure")) {
      this.remove.classList.add("sure");
      this.remove.textContent = "Remove it?";
      setTimeout(() => {
        this.remove.classList.remove("sure");
        this.remove.textContent = "Remove";
      }, 4000);
      return;
    }
    ask("DELETE", `/api/sources/${this.id}`);
  }

  key(event) {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "p" && !this.pause.hidden && !this.pause.disabled) this.rest();
    else if (event.key === "Delete" && !this.remove.hidden) this.leave();
    else return;
    event.preventDefault();
  }
}

// A name with what leads to it in a lighter ink.
function named(name) {
  const cut = name.replace(/\/+$/, "").lastIndexOf("/") + 1;
  return cut ? [el("span", { class: "path" }, name.slice(0, cut)), name.slice(cut)] : [name];
}

function say(words, isTrouble = false) {
  byId("said").textContent = words;
  byId("said").classList.toggle("trouble", isTrouble);
}

async function ask(method, path, body) {
  try {
    const answer = await fetch(path, { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
    const told = await answer.json();
    if (answer.ok) {
      say("");
      return told;
    }
    say(typeof told.detail === "string" ? told.detail : "That is no source.", true);
  } catch {
    say("The run does not answer.", true);
  }
  return null;
}

const cards = new Map();
let order = [];

function take(told) {
  if (told.first) {
    cards.clear();
    byId("cards").replaceChildren();
    say("");
  }
  for (const one of told.cards) {
    if (cards.has(one.id)) cards.get(one.id).take(one);
    else cards.set(one.id, new Card(one));
  }
  if (told.order) order = told.order;
  for (const id of [...cards.keys()]) if (!order.includes(id)) {
    cards.get(id).element.remove();
    cards.delete(id);
  }
  for (const [n, id] of order.filter((one) => cards.has(one)).entries()) {
    const { element } = cards.get(id);
    if (byId("cards").children[n] !== element) byId("cards").insertBefore(element, byId("cards").children[n] || null);
  }
  byId("empty").hidden = cards.size > 0;
  if (told.run && "sources" in told.run) tellRun(told.run);
}

function tellRun(run) {
  const parts = [plural(run.sources, "source"), `${run.media_seconds_per_second.toFixed(1)}× real time`];
  if (run.paused) parts.push(`${run.paused} paused`);
  if (run.quarantined) parts.push(`${run.quarantined} given up`);
  if (run.unreachable.length) parts.push(`cannot reach ${run.unreachable.join(", ")}`);
  byId("run").textContent = parts.join(" · ");
}

function follow() {
  const stream = new EventSource("/api/stream");
  stream.addEventListener("cards", (event) => take(JSON.parse(event.data)));
  stream.addEventListener("over", () => {
    stream.close();
    say("The run has ended; this is how it stood.");
  });
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) {
      setTimeout(follow, 3000);
    }
    say("The connection to the run is lost; trying again.", true);
  });
}

theme.bind(byId("theme"));
byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("source");
  const told = await ask("POST", "/api/sources", { source: field.value });
  if (!told) return;
  const parts = [];
  if (told.added.length > 1) parts.push(`${plural(told.added.length, "source")} added`);
  if (!told.added.length && told.known.length) parts.push(`${told.known[0]} is among the sources already`);
  if (told.skipped.length) parts.push(`left out: ${told.skipped[0]}`);
  say(parts.join("; "));
  if (told.added.length) field.value = "";
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !(event.target instanceof HTMLInputElement)) {
    event.preventDefault();
    byId("source").focus();
  }
});
follow();
