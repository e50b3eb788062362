// Draws what `Timeline.to_json` holds: a track for all modalities together and one for each, events, sound, pictures.
// Text comes from media and is put in as text only, never as markup.
"use strict";

const TRACKS = ["found", "seen", "heard", "said"];
const SHOWN = { events: 6, found: 6, seen: 4, heard: 4, said: 4 };
const STATUS = { o: "outage", d: "damaged", l: "late", s: "silent", b: "black", a: "absent" };
const NOTHING = { seen: "no picture", heard: "no sound", said: "no captions, nothing recognised", found: "nothing" };
const SVG = "http://www.w3.org/2000/svg";

// An element with attributes, properties (by on...) and children; strings become text.
function el(tag, attributes, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function bytes(text) {
  return Uint8Array.from(atob(text || ""), (letter) => letter.charCodeAt(0));
}

// Seconds as people read them: 0:05, 1:02:03; with a tenth where it matters.
function clock(seconds, tenths = false) {
  const tenth = Math.round(seconds * 10);
  const whole = tenths ? Math.floor(tenth / 10) : Math.floor(seconds + 1e-6);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const rest = tenths && tenth % 10 ? `.${tenth % 10}` : "";
  const two = (n) => String(n).padStart(2, "0");
  return (h ? `${h}:${two(m)}` : `${m}`) + `:${two(s)}${rest}`;
}

function plural(count, one) {
  return `${count.toLocaleString("en")} ${one}${count === 1 ? "" : "s"}`;
}

// Whether a label is meant by what was typed (all words occur) and by the labels that were picked (any of them).
function matches(label, words, picked) {
  const low = label.toLowerCase();
  return (!picked.size || picked.has(label)) && words.every((word) => low.includes(word));
}

class Timeline {
  constructor(source, { onseek }) {
    this.data = source.timeline;
    this.events = source.events;
    this.pictures = source.preview.pictures;
    this.peaks = bytes(source.preview.peaks);
    this.onseek = onseek;
    this.zero = this.data.starts[0];
    this.end = Math.max(...this.data.ends);
    this.tracks = {};
    for (const name of TRACKS) {
      const track = this.data.tracks[name];
      this.tracks[name] = { ...track, weights: bytes(track.weights), rows: track.rows.map((row) => ({ label: row.label, scores: bytes(row.scores) })) };
    }
    this.view = [this.zero, this.end];
    this.at = this.zero;
    this.words = [];
    this.picked = new Set();
    this.unfolded = new Set();
    this.placed = []; // elements over a stretch of time: they are moved when the view changes
    this.drawings = []; // pictures whose horizontal axis is time
    this.build();
  }

  // --- what there is at a time

  column(seconds) {
    const { starts } = this.data;
    let [low, high] = [0, starts.length - 1];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (starts[middle] <= seconds + 1e-6) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  // What each track says in a column: its status, its share in the answer, and its labels, best first.
  told(column) {
    return TRACKS.map((name) => {
      const track = this.tracks[name];
      const scores = track.rows.map((row) => [row.label, row.scores[column] / 255]).filter(([, score]) => score >= 0.01);
      return {
        name,
        empty: track.empty,
        status: STATUS[track.status[column]] || "ok",
        weight: track.weights[column] / 255,
        scores: scores.sort((a, b) => b[1] - a[1]),
      };
    });
  }

  saidIn(column) {
    const [start, end] = [this.data.starts[column], this.data.ends[column]];
    return this.data.said.filter(([from, to]) => from < end && to > start).map(([, , text]) => text).join(" ");
  }

  outageAt(column) {
    const [start, end] = [this.data.starts[column], this.data.ends[column]];
    const found = this.data.outages.find(([from, to]) => from < end && to > start);
    return found ? found[2] : "";
  }

  // A time in words: since the start of a file, by the clock on the wall of a live source.
  time(seconds, tenths = false) {
    if (this.data.wall === null) return clock(seconds, tenths);
    return new Date((this.data.wall + seconds) * 1000).toLocaleTimeString("en-GB");
  }

  // --- drawing

  build() {
    this.ruler = el("div", { class: "lane" });
    this.groups = el("div");
    this.cursor = el("div", { class: "cursor" });
    this.hover = el("div", { class: "hover", hidden: true });
    this.peek = el("div", { class: "peek", hidden: true });
    this.plot = el("div", { class: "plot", tabindex: "0", role: "slider", "aria-label": "Time",
      "aria-valuemin": this.zero, "aria-valuemax": this.end },
    el("div", { class: "row ruler" }, el("div", { class: "gutter" }), this.ruler),
    this.groups, this.hover, this.cursor, this.peek);
    this.element = el("div", { class: "timeline" }, this.plot);
    this.drawGroups();
    this.listen();
    new ResizeObserver(() => this.place()).observe(this.ruler);
    this.setTime(this.zero);
  }

  drawGroups() {
    this.placed = [];
    this.drawings = [];
    const groups = [this.filmGroup(), this.waveGroup(), this.eventGroup(), ...TRACKS.map((name) => this.trackGroup(name))];
    this.groups.replaceChildren(...groups.filter(Boolean));
    this.place();
  }

  row(kind, title, label, lane) {
    return el("div", { class: `row ${kind}` },
      el("div", { class: "gutter" }, title ? el("b", null, title) : null, label ? el("span", { class: "label", title: label }, label) : null), lane);
  }

  filmGroup() {
    if (!this.pictures) return null;
    this.film = el("div", { class: "lane" });
    return el("div", { class: "group", "data-hue": "film" }, this.row("film", "picture", "", this.film));
  }

  waveGroup() {
    if (!this.peaks.length) return null;
    const loudest = Math.max(1, ...this.peaks);
    const step = (this.end) / this.peaks.length;
    const heights = Array.from(this.peaks, (peak) => 0.48 * peak / loudest + 0.01);
    const x = (n) => (n * step - this.zero).toFixed(4);
    const upper = heights.map((h, n) => `${x(n)},${(0.5 - h).toFixed(3)}`);
    const lower = heights.map((h, n) => `${x(n)},${(0.5 + h).toFixed(3)}`).reverse();
    const lane = el("div", { class: "lane" }, this.drawing(`M${upper.join("L")}L${lower.join("L")}Z`));
    return el("div", { class: "group", "data-hue": "wave" }, this.row("wave", "sound", "", lane));
  }

  eventGroup() {
    const byLabel = new Map();
    for (const event of this.events) {
      if (!matches(event.label, this.words, this.picked)) continue;
      if (!byLabel.has(event.label)) byLabel.set(event.label, []);
      byLabel.get(event.label).push(event);
    }
    if (!byLabel.size) return null;
    const length = (events) => events.reduce((sum, event) => sum + event.end - event.start, 0);
    const rows = [...byLabel].sort((a, b) => length(b[1]) - length(a[1])).map(([label, events]) => [label, () =>
      el("div", { class: "lane" }, ...events.map((event) => this.mark("event", event.start, event.end)))]);
    return this.group("events", rows);
  }

  trackGroup(name) {
    const track = this.tracks[name];
    const rows = track.rows.filter((row) => matches(row.label, this.words, this.picked)).map((row) => [row.label, () =>
      el("div", { class: "lane" }, this.drawing(this.steps(row.scores)), ...this.marks(name))]);
    if (!rows.length) {
      const why = track.empty || !track.rows.length ? NOTHING[name] : "no such label";
      const lane = el("div", { class: "lane" }, el("span", { class: "text" }, why), ...(track.empty ? [] : this.marks(name)));
      return el("div", { class: "group", "data-hue": name }, this.row("", name, "", lane));
    }
    return this.group(name, rows);
  }

  // Rows of a track; so many of them until the others are asked for, all where they are filtered.
  group(name, rows) {
    const isFiltered = this.words.length || this.picked.size;
    const shown = isFiltered || this.unfolded.has(name) ? rows.length : Math.min(rows.length, SHOWN[name]);
    const made = rows.slice(0, shown).map(([label, lane], n) => this.row("", n ? "" : name, label, lane()));
    if (rows.length > SHOWN[name] && !isFiltered) {
      const unfold = el("button", { class: "unfold", type: "button", onclick: (event) => {
        event.stopPropagation();
        if (!this.unfolded.delete(name)) this.unfolded.add(name);
        this.drawGroups();
      } }, shown < rows.length ? `${rows.length - shown} more` : "fewer");
      made.push(el("div", { class: "row" }, el("div", { class: "gutter" }, unfold)));
    }
    return el("div", { class: "group", "data-hue": name }, ...made);
  }

  steps(scores) {
    const { starts, ends } = this.data;
    let path = "";
    for (let n = 0; n < scores.length; n++) {
      if (!scores[n]) continue;
      const until = n + 1 < starts.length ? Math.min(ends[n], starts[n + 1]) : ends[n];
      const top = (1 - scores[n] / 255).toFixed(3);
      path += `M${(starts[n] - this.zero).toFixed(3)},1V${top}H${(until - this.zero).toFixed(3)}V1Z`;
    }
    return path;
  }

  drawing(path) {
    const svg = document.createElementNS(SVG, "svg");
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("aria-hidden", "true");
    const shape = document.createElementNS(SVG, "path");
    shape.setAttribute("d", path);
    svg.append(shape);
    this.drawings.push(svg);
    return svg;
  }

  // Stretches of a track in which not all was well, or nothing was there.
  marks(name) {
    const { status } = this.tracks[name];
    const { starts, ends } = this.data;
    const made = [];
    for (let n = 0; n < status.length; n++) {
      const first = n;
      while (n + 1 < status.length && status[n + 1] === status[first]) n++;
      const what = STATUS[status[first]];
      if (what && !(name === "found" && what === "absent")) made.push(this.mark(what, starts[first], ends[n]));
    }
    return made;
  }

  mark(what, start, end) {
    const made = el("i", { class: `mark ${what}` });
    this.placed.push([made, start, end]);
    return made;
  }

  share(seconds) {
    return (seconds - this.view[0]) / (this.view[1] - this.view[0]);
  }

  place() {
    const [from, to] = this.view;
    for (const svg of this.drawings) svg.setAttribute("viewBox", `${from - this.zero} 0 ${to - from} 1`);
    for (const [made, start, end] of this.placed) {
      made.hidden = end < from || start > to;
      const left = Math.max(-0.01, this.share(start));
      made.style.left = `${100 * left}%`;
      made.style.width = `${100 * (Math.min(1.01, this.share(end)) - left)}%`;
    }
    this.placeTicks();
    this.placeFilm();
    this.placeCursor();
  }

  placeTicks() {
    const [from, to] = this.view;
    const width = this.ruler.clientWidth || 600;
    const least = (to - from) * 76 / width;
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400].find((s) => s >= least) || 604800;
    const shift = this.data.wall === null ? 0 : this.data.wall % step;
    const made = [];
    for (let t = Math.ceil((from + shift) / step - 1e-9) * step - shift; t <= to + 1e-6; t += step) {
      if (this.share(t) > 1 - 18 / width) continue;
      const tick = el("span", this.share(t) < 18 / width ? { class: "first" } : null, this.time(t));
      tick.style.left = `${100 * this.share(t)}%`;
      made.push(tick);
    }
    this.ruler.replaceChildren(...made);
  }

  placeFilm() {
    if (!this.film) return;
    const [height, width] = [this.film.clientHeight, this.film.clientWidth];
    const each = Math.max(24, height * this.pictures.width / this.pictures.height);
    const made = [];
    for (let left = 0; left < width; left += each) {
      const picture = el("i");
      this.paint(picture, this.view[0] + (this.view[1] - this.view[0]) * Math.min(1, (left + each / 2) / width), height);
      picture.style.left = `${left}px`;
      made.push(picture);
    }
    this.film.replaceChildren(...made);
  }

  // Shows the picture of a time on an element, so many pixels high.
  paint(element, seconds, height) {
    const { count, columns, width, height: high, webp } = this.pictures;
    const n = Math.max(0, Math.min(count - 1, Math.floor(seconds / this.end * count)));
    const scale = height / high;
    const rows = Math.ceil(count / columns);
    element.style.width = `${width * scale}px`;
    element.style.height = `${height}px`;
    element.style.backgroundImage = `url(data:image/webp;base64,${webp})`;
    element.style.backgroundSize = `${columns * width * scale}px ${rows * high * scale}px`;
    element.style.backgroundPosition = `${-(n % columns) * width * scale}px ${-Math.floor(n / columns) * height}px`;
  }

  placeAt(line, seconds) {
    line.style.left = `calc(var(--gutter) + (100% - var(--gutter)) * ${this.share(seconds)})`;
  }

  placeCursor() {
    const share = this.share(this.at);
    this.cursor.hidden = share < 0 || share > 1;
    this.placeAt(this.cursor, this.at);
  }

  // --- what can be done with it

  setTime(seconds) {
    this.at = Math.min(this.end, Math.max(this.zero, seconds));
    const [from, to] = this.view;
    if (this.at < from || this.at > to) this.show(this.at - (to - from) / 10, to - from);
    const best = this.told(this.column(this.at))[0].scores[0];
    this.plot.setAttribute("aria-valuenow", this.at.toFixed(2));
    this.plot.setAttribute("aria-valuetext", this.time(this.at, true) + (best ? `, ${best[0]} ${best[1].toFixed(2)}` : ""));
    this.placeCursor();
  }

  setFilter(words, picked) {
    [this.words, this.picked] = [words, picked];
    this.drawGroups();
  }

  show(from, length) {
    const whole = this.end - this.zero;
    const span = Math.min(whole, Math.max(Math.min(1, whole), length));
    const start = Math.max(this.zero, Math.min(this.end - span, from));
    this.view = [start, start + span];
    this.place();
  }

  zoom(factor, about = this.at) {
    const [from, to] = this.view;
    const middle = about < from || about > to ? (from + to) / 2 : about;
    this.show(middle - (middle - from) * factor, (to - from) * factor);
  }

  showAll() {
    this.show(this.zero, this.end - this.zero);
  }

  seek(seconds) {
    this.setTime(seconds);
    this.onseek(this.at);
  }

  // The time under a pointer; null over the names of the rows.
  under(event) {
    const lane = this.ruler.getBoundingClientRect();
    const share = (event.clientX - lane.left) / lane.width;
    return share < 0 ? null : this.view[0] + Math.min(1, share) * (this.view[1] - this.view[0]);
  }

  listen() {
    let isDragged = false;
    this.plot.addEventListener("pointerdown", (event) => {
      const seconds = this.under(event);
      if (seconds === null || event.button !== 0 || event.pointerType === "touch") return;
      isDragged = true;
      this.seek(seconds);
    });
    this.plot.addEventListener("click", (event) => { // a tap; a finger that moves scrolls the page
      const seconds = this.under(event);
      if (event.pointerType === "touch" && seconds !== null) this.seek(seconds);
    });
    this.plot.addEventListener("pointermove", (event) => {
      const seconds = this.under(event);
      if (isDragged && event.buttons && seconds !== null) this.seek(seconds);
      else isDragged = false;
      if (event.pointerType !== "touch") this.showPeek(seconds);
    });
    this.plot.addEventListener("pointerleave", () => this.showPeek(null));
    this.plot.addEventListener("wheel", (event) => {
      if (event.ctrlKey) this.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.under(event) ?? this.at);
      else if (event.deltaX && this.view[1] - this.view[0] < this.end - this.zero) {
        const [from, to] = this.view;
        this.show(from + (to - from) * event.deltaX / this.ruler.clientWidth, to - from);
      } else return;
      event.preventDefault();
    }, { passive: false });
    this.plot.addEventListener("keydown", (event) => {
      const column = this.column(this.at);
      const to = (n) => () => this.seek(this.data.starts[Math.max(0, Math.min(this.data.starts.length - 1, n))]);
      const keys = {
        ArrowLeft: to(column - 1), ArrowRight: to(column + 1), ArrowDown: to(column - 1), ArrowUp: to(column + 1),
        PageDown: to(column - 10), PageUp: to(column + 10), Home: to(0), End: to(Infinity),
        "+": () => this.zoom(0.5), "=": () => this.zoom(0.5), "-": () => this.zoom(2), 0: () => this.showAll(),
      };
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey || event.target !== this.plot) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  showPeek(seconds) {
    this.hover.hidden = this.peek.hidden = seconds === null;
    if (seconds === null) return;
    this.placeAt(this.hover, seconds);
    const [found] = this.told(this.column(seconds));
    const parts = [];
    if (this.pictures) {
      const picture = el("i");
      this.paint(picture, seconds, Math.min(this.pictures.height, 150));
      parts.push(picture);
    }
    parts.push(el("div", null, el("b", null, this.time(seconds, true))));
    for (const [label, score] of found.scores.slice(0, 3)) parts.push(el("div", { class: "dim" }, `${label} ${score.toFixed(2)}`));
    if (found.status === "outage") parts.push(el("div", { class: "dim" }, "outage"));
    this.peek.replaceChildren(...parts);
    const whole = this.plot.clientWidth;
    const lane = this.ruler.clientWidth;
    const half = this.peek.offsetWidth / 2;
    const middle = whole - lane + this.share(seconds) * lane;
    this.peek.style.left = `${Math.max(half, Math.min(whole - half, middle))}px`;
  }
}
