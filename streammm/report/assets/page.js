// The page around timelines: the list of sources, the player, what is found where it stands, events.
"use strict";

const PAGE_ROWS = 100;
const MAX_CHIPS = 12;

function read(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

function wordsOf(text) {
  return text.toLowerCase().split(/\s+/).filter(Boolean);
}

// A search field and the labels that can be picked; tells `onchange` of the words and the set of labels.
function filterTools(labels, placeholder, onchange, more) {
  const picked = new Set();
  const field = el("input", { class: "search", type: "search", placeholder, "aria-label": placeholder });
  const tell = () => onchange(wordsOf(field.value), picked);
  const chips = labels.slice(0, MAX_CHIPS).map(([label, count]) => {
    const chip = el("button", { class: "chip", type: "button", "aria-pressed": "false", title: label, onclick: () => {
      if (!picked.delete(label)) picked.add(label);
      chip.setAttribute("aria-pressed", String(picked.has(label)));
      tell();
    } }, label, count ? el("span", { class: "count" }, String(count)) : null);
    return chip;
  });
  field.addEventListener("input", tell);
  return el("div", { class: "tools" }, field, el("div", { class: "chips", role: "group", "aria-label": "Labels" }, ...chips), more);
}

// --- all sources

class SourceList {
  constructor(entries) {
    this.entries = entries.map((entry) => ({ ...entry, text: [entry.name, ...entry.labels.map(([label]) => label)].join("\n").toLowerCase() }));
    this.shown = PAGE_ROWS;
    this.found = this.entries;
    this.body = el("tbody");
    this.count = el("p", { class: "dim small", role: "status" });
    this.more = el("button", { class: "more", type: "button", onclick: () => { this.shown += PAGE_ROWS; this.draw(); } }, "Show more");
    const tools = filterTools(this.labels(), "Search sources and labels", (words, picked) => {
      this.found = this.entries.filter((entry) => words.every((word) => entry.text.includes(word))
        && [...picked].every((label) => entry.labels.some(([other]) => other === label)));
      this.shown = PAGE_ROWS;
      this.draw();
    });
    const heads = [["Source"], ["Length", "number"], ["Found, highest score"], ["Events", "number wide"], ["Trouble", "wide"]];
    const table = el("table", { class: "sources" },
      el("thead", null, el("tr", null, ...heads.map(([text, kind]) => el("th", { class: kind, scope: "col" }, text)))), this.body);
    this.element = el("section", { "aria-label": "Sources" }, tools, this.count, table, this.more);
    this.draw();
  }

  labels() {
    const counts = new Map();
    for (const entry of this.entries) for (const [label] of entry.labels) counts.set(label, (counts.get(label) || 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
  }

  draw() {
    const rows = this.found.slice(0, this.shown).map((entry) => el("tr", null,
      el("td", null, el("a", { href: entry.href }, entry.name)),
      el("td", { class: "number" }, clock(entry.seconds)),
      el("td", null, el("div", { class: "labels" }, ...entry.labels.slice(0, 4).map(([label, score]) =>
        el("span", null, label, el("span", { class: "score" }, score.toFixed(2)))))),
      el("td", { class: "number wide" }, String(entry.events)),
      el("td", { class: "trouble wide" }, entry.trouble.join(", "))));
    this.body.replaceChildren(...rows);
    const all = this.found.length === this.entries.length;
    this.count.textContent = all ? plural(this.entries.length, "source") : `${this.found.length.toLocaleString("en")} of ${plural(this.entries.length, "source")}`;
    this.more.hidden = this.found.length <= this.shown;
  }
}

// --- one source

class Player {
  constructor(media, name, ontime) {
    this.note = el("p", { class: "note", role: "status" });
    this.element = el("div", { class: "player" });
    this.player = null;
    this.ontime = ontime;
    if (media.src) this.open(media.src, media.kind, name);
    else this.offer(media.why, media.kind);
  }

  open(src, kind, name) {
    this.player = el(kind, { controls: true, preload: "metadata", playsinline: true, "aria-label": name });
    this.player.addEventListener("timeupdate", () => this.ontime(this.player.currentTime));
    this.player.addEventListener("play", () => this.follow());
    this.player.addEventListener("loadedmetadata", () => {
      const blind = kind === "video" && !this.player.videoWidth;
      this.say(blind ? "This browser plays only the sound of it: it does not know the codec of the picture." : "", blind);
    });
    this.player.addEventListener("error", () => this.offer(
      "It cannot be played here: the file is not where it was, or this browser does not know its codec. ", kind));
    this.player.src = src;
    this.element.replaceChildren(this.player, this.note);
    if (kind === "video") this.element.closest(".stage")?.classList.remove("bare");
  }

  say(text, isTrouble = false) {
    this.note.textContent = text;
    this.note.classList.toggle("trouble", isTrouble);
  }

  // Says why there is nothing to play, and lets a file be chosen by hand.
  offer(why, kind) {
    this.say(why, Boolean(this.player));
    const chooser = el("input", { type: "file", accept: "video/*,audio/*", onchange: () => {
      const [file] = chooser.files;
      if (file) this.open(URL.createObjectURL(file), kind, file.name);
    } });
    this.note.append(el("label", { class: "open" }, "Choose the file", chooser));
    this.element.replaceChildren(...(this.player ? [this.player] : []), this.note);
  }

  follow() {
    if (!this.player.isConnected || this.player.paused) return;
    this.ontime(this.player.currentTime);
    requestAnimationFrame(() => this.follow());
  }

  seek(seconds) {
    if (this.player) this.player.currentTime = seconds;
  }

  stop() {
    if (this.player) this.player.pause();
  }
}

class SourcePage {
  constructor(source) {
    this.source = source;
    const hasRows = source.timeline.starts.length > 0;
    const parts = [this.head()];
    if (hasRows) {
      this.player = new Player(source.media, source.name, (seconds) => this.moved(seconds));
      this.timeline = new Timeline(source, { onseek: (seconds) => { this.player.seek(seconds); this.tell(); } });
      this.now = el("div", { class: "now" });
      this.list = el("ol", { class: "events" });
      this.eventsHead = el("h2", null, "Events");
      parts.push(
        el("div", { class: `stage${source.media.src && source.media.kind === "video" ? "" : " bare"}` }, this.player.element, this.now),
        filterTools(this.labels(), "Filter labels", (words, picked) => {
          this.timeline.setFilter(words, picked);
          this.drawEvents(words, picked);
        }, this.zoomButtons()),
        this.timeline.element, this.legend(), this.eventsHead, this.list, this.eventsNote());
      this.drawEvents([], new Set());
      this.tell();
    } else {
      parts.push(el("p", { class: "dim" }, "There are no rows of it."));
    }
    this.element = el("article", null, ...parts);
  }

  head() {
    const { name, timeline, counted } = this.source;
    const cut = name.lastIndexOf("/") + 1;
    const facts = [clock(counted.mediaSeconds, true), plural(timeline.segments, "segment")];
    if (timeline.merged > 1) facts.push(`${timeline.merged} segments a column, the highest score of each`);
    const trouble = [...this.source.trouble];
    if (counted.errors) trouble.push(`${plural(counted.errors, "error")}, the last: ${counted.lastError}`);
    if (counted.restarts) trouble.push(`${plural(counted.restarts, "worker")} died on it and ${counted.restarts === 1 ? "was" : "were"} replaced`);
    if (this.source.reason) trouble.push(`given up: ${this.source.reason}`);
    return el("header", { class: "head" },
      el("h1", null, el("span", { class: "path" }, name.slice(0, cut)), name.slice(cut)),
      el("p", { class: "facts" }, facts.join(" · "), trouble.length ? " · " : null, trouble.length ? el("span", { class: "trouble" }, trouble.join(" · ")) : null));
  }

  // Labels in the order in which they are likely to be asked for: with events, then by their highest scores.
  labels() {
    const found = new Set(this.source.events.map((event) => event.label));
    for (const name of TRACKS) for (const row of this.source.timeline.tracks[name].rows) found.add(row.label);
    return [...found].map((label) => [label]);
  }

  zoomButtons() {
    const button = (text, label, act) => el("button", { class: "icon", type: "button", "aria-label": label, title: label, onclick: act }, text);
    return el("div", { class: "zoom" },
      button("−", "Show more time", () => this.timeline.zoom(2)),
      button("+", "Show less time", () => this.timeline.zoom(0.5)),
      button("⟷", "Show all of it", () => this.timeline.showAll()));
  }

  legend() {
    const codes = new Set(TRACKS.map((name) => this.source.timeline.tracks[name]).filter((track) => !track.empty).flatMap((track) => [...track.status]));
    const words = { d: "damaged", l: "late", o: "outage" };
    const made = Object.entries(words).filter(([code]) => codes.has(code)).map(([, word]) =>
      el("span", null, el("i", null, el("i", { class: `mark ${word}` })), word));
    const quiet = [["s", "silent"], ["b", "black"], ["a", "absent"]].filter(([code]) => codes.has(code)).map(([, word]) => word);
    if (quiet.length) made.push(el("span", null, el("i", null, el("i", { class: "mark silent" })), quiet.join(", ")));
    for (const mark of made) {
      const inner = mark.querySelector(".mark");
      inner.style.left = "0";
      inner.style.width = "100%";
    }
    made.push(el("span", null, "height is the score, 0 to 1"), el("span", null, "arrow keys step, + and − zoom"));
    return el("div", { class: "legend" }, ...made);
  }

  moved(seconds) {
    this.timeline.setTime(seconds);
    this.tell();
  }

  // What is found where the cursor stands.
  tell() {
    const column = this.timeline.column(this.timeline.at);
    if (column === this.toldOf) return;
    this.toldOf = column;
    const { starts, ends } = this.timeline.data;
    const outage = this.timeline.outageAt(column);
    const voices = this.timeline.told(column).filter((voice) => !voice.empty).map((voice) => this.voice(voice, column));
    const parts = [
      el("div", { class: "when" }, `${this.timeline.time(starts[column], true)} – ${this.timeline.time(ends[column], true)}`),
      outage ? el("p", { class: "outage" }, `outage: ${outage}`) : null,
      outage ? null : el("div", { class: "voices" }, ...voices),
    ];
    this.now.replaceChildren(...parts.filter(Boolean));
  }

  voice({ name, status, weight, scores }, column) {
    const state = [];
    if (status !== "ok" && !(name === "found" && status === "absent")) state.push(status);
    if (name !== "found" && weight > 0) state.push(`counts ${Math.round(100 * weight)} %`);
    const words = name === "said" ? this.timeline.saidIn(column) : "";
    return el("section", { class: "voice", "data-hue": name },
      el("div", { class: "title" }, el("b", null, name), state.join(", ")),
      words ? el("q", null, words) : null,
      ...scores.slice(0, name === "found" ? 3 : 2).map(([label, score]) => {
        const fill = el("i");
        fill.style.width = `${100 * score}%`;
        return el("div", { class: "line" }, el("span", { title: label }, label), el("span", { class: "bar" }, fill), el("span", { class: "value" }, score.toFixed(2)));
      }),
      !scores.length && !words && status === "ok" ? el("div", { class: "dim" }, "nothing of note") : null);
  }

  drawEvents(words, picked) {
    const shown = this.source.events.filter((event) => matches(event.label, words, picked));
    this.eventsHead.hidden = !this.source.events.length;
    this.list.replaceChildren(...shown.map((event) => el("li", null,
      el("button", { type: "button", onclick: () => this.timeline.seek(event.start) },
        el("span", { class: "when" }, `${this.timeline.time(event.start, true)} – ${this.timeline.time(event.end, true)}`),
        el("span", { title: event.label }, event.label), el("span", { class: "value" }, event.peak.toFixed(2))))));
  }

  eventsNote() {
    const { events, eventsMore } = this.source;
    if (!events.length) return el("p", { class: "dim small foot" }, "No events.");
    return eventsMore ? el("p", { class: "dim small" }, `${plural(eventsMore, "more event")} with lower peaks in events.jsonl.`) : "";
  }

  close() {
    if (this.player) this.player.stop();
  }
}

// --- which of them is shown

function start() {
  theme.bind(document.getElementById("theme"));
  const main = document.getElementById("view");
  const run = document.getElementById("run");
  const ids = read("pages");
  let page = null;

  function show(id) {
    if (page) page.close();
    page = new SourcePage(read(id));
    const back = [];
    if (ids.length > 1) back.push(el("a", { class: "back", href: "#" }, "‹ All sources"));
    main.replaceChildren(...back, page.element);
  }

  const list = document.getElementById("list") ? new SourceList(read("list")) : null;
  if (list) document.getElementById("sources").append(list.element);

  function route() {
    const id = location.hash.slice(1);
    const wanted = ids.includes(id) ? id : ids.length === 1 ? ids[0] : null;
    if (wanted) show(wanted);
    else {
      if (page) page.close();
      page = null;
      main.replaceChildren();
    }
    if (run) run.hidden = Boolean(wanted) && ids.length > 1;
    if (ids.length > 1) scrollTo(0, 0);
  }
  addEventListener("hashchange", route);
  route();

  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input, textarea");
    if (event.key === "/" && !typing) {
      const field = [...document.querySelectorAll(".search")].find((one) => one.offsetParent);
      if (field) { event.preventDefault(); field.focus(); }
    } else if (event.key === " " && page && page.player && page.player.player && !event.target.closest("input, button, a, video, audio, label")) {
      event.preventDefault();
      const { player } = page.player;
      if (player.paused) player.play();
      else player.pause();
    }
  });
}

start();
