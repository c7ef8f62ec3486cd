// The kiosk page's script. It listens to the box (server-sent events), shows one view at a time, fills in what
// changes, moves the drawn face as the person moves, and sends the person's yes, no or stop. It never sees a picture:
// codes, a face box in sixteenths of the frame and a head pose in steps of five degrees are all that it is told.
// What makes it easier to read, hear and reach is in helps.js.
"use strict";

const texts = JSON.parse(document.getElementById("texts").textContent);
const at = (id) => document.getElementById(id);
const root = document.documentElement;
let shown = { view: "idle" };   // the newest view that the box sent
let visible = "idle";           // what is on the screen: shown.view, or "lost"
let ends = 0;                   // when the present stage ends by itself, in performance.now() milliseconds
let span = 1;                   // how long it was when it began, in seconds
let heard = performance.now();  // when the box last said anything
const more = document.querySelectorAll("[data-more]");   // the buttons that ask for more time

// --- Texts ----------------------------------------------------------------------------------------------------------

function say(key) {
  // \u2068 and \u2069 isolate a name, whose script may run the other way than the sentence's.
  return texts.text[key].replace(/\{(\w+)\}/g, (_, name) => `\u2068${shown[name] ?? ""}\u2069`);
}

function fillList(list, entries) {
  list.replaceChildren(...entries.map((entry) => {
    const item = document.createElement("li");
    item.textContent = entry;
    return item;
  }));
}

function change(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// --- Views ----------------------------------------------------------------------------------------------------------

function show(name) {
  if (name === visible) return;
  visible = name;
  document.body.dataset.view = name;
  for (const section of document.querySelectorAll("main > .view")) section.hidden = section.dataset.view !== name;
  document.querySelector(`main > [data-view="${name}"] h1`).focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

function details() {
  const listed = shown.attributes.map((name) => texts.attribute[name]);
  return shown.subject ? [...listed, say("told_subject")] : listed;
}

function showConsent() {
  for (const element of document.querySelectorAll("[data-fill]")) change(element, say(element.dataset.fill));
  fillList(at("happens"), shown.happens.map((step) => say(`happens_${step}`)));
  fillList(at("told"), [say("told_result"), ...details()]);
  for (const button of [at("yes"), at("no")]) button.disabled = false;
  at("wish").hidden = !shown.proof;
}

function showWork(before) {
  showStages();
  change(at("guidance"), texts.guidance[shown.guidance]);
  at("movement").hidden = shown.steps === 0;
  change(at("movement"), shown.steps ? say("movement") : "");
  at("stop").disabled = false;
  document.body.dataset.stage = shown.stage;
  document.body.dataset.guidance = shown.guidance;
  if (before.view !== "work" || before.guidance !== shown.guidance) readOut();
  drawMirror();
}

function showStages() {
  const stage = shown.stage === "document_back" ? "document" : shown.stage;
  const now = shown.stages.indexOf(stage);
  const list = at("stages");
  if (list.childElementCount !== shown.stages.length) fillList(list, shown.stages.map((name) => texts.stage[name]));
  [...list.children].forEach((item, index) => {
    item.className = index < now ? "past" : index === now ? "now" : "";
    if (index === now) item.setAttribute("aria-current", "step"); else item.removeAttribute("aria-current");
  });
}

function showResult() {
  document.body.dataset.result = shown.result;
  const good = shown.result === "verified";
  change(at("result"), say(shown.result));
  change(at("why"), good ? (shown.codes[0] ? "" : say("verified_text")) : texts.explanation[shown.explanation] ?? "");
  change(at("again"), good ? "" : say("again"));
  const told = shown.result === "stopped" ? [] : [say("who_party")];
  const listed = good ? details() : [];
  fillList(at("who"), [...told, ...listed, ...(told.length ? [say("who_box")] : []), say("who_nobody")]);
  [...at("who").children].forEach((item, index) => {
    if (index >= told.length && index < told.length + listed.length) item.className = "of";
  });
  at("who").lastElementChild.className = "none";
  showCodes();
  readOut();
}

// --- Codes to photograph ---------------------------------------------------------------------------------------------
// Several codes follow each other until the person presses "Code 1 of 3", and from then on at each press: slowly enough
// for a telephone, and for eyes that must not see more than three flashes in a second.

const CODE_MS = 800;
const code = { kind: "", index: 0, count: 0, timer: 0 };

function showCodes() {
  const [verdict, proof] = shown.codes;
  const any = verdict + proof > 0;
  at("codes").hidden = !any;
  document.body.classList.toggle("coded", any);
  at("other").hidden = !(verdict && proof);
  clearInterval(code.timer);
  if (any) turnTo(verdict ? "verdict" : "proof");
}

function turnTo(kind) {
  clearInterval(code.timer);
  Object.assign(code, { kind, index: 0, count: shown.codes[kind === "verdict" ? 0 : 1] });
  change(at("code-title"), say(`code_${kind}`));
  change(at("code-text"), say(`code_${kind}_text`));
  change(at("other"), say(kind === "verdict" ? "code_proof" : "code_verdict"));
  at("next").hidden = code.count < 2;
  drawCode();
  if (code.count > 1) code.timer = setInterval(nextCode, CODE_MS);
}

function nextCode() {
  code.index = (code.index + 1) % code.count;
  drawCode();
}

function drawCode() {
  const image = at("code");
  image.src = `/kiosk/code/${shown.id}/${code.kind}/${code.index}.svg`;
  const number = texts.text.code_part.replace("{step}", code.index + 1).replace("{steps}", code.count);
  image.alt = `${say(`code_${code.kind}`)} (${number})`;
  change(at("next"), number);
}

at("next").addEventListener("click", () => { clearInterval(code.timer); nextCode(); });
at("other").addEventListener("click", () => {
  turnTo(code.kind === "verdict" ? "proof" : "verdict");
  speak([text(`code_${code.kind}`), text(`code_${code.kind}_text`)]);
});
at("done").addEventListener("click", () => { clearInterval(code.timer); answer("/kiosk/done", {}, [at("done")]); });

function take(view) {
  const before = shown, another = view.id !== before.id;   // the idle page is nobody's: its id is empty
  shown = view;
  if (view.seconds_left) {
    const fresh = before.view !== view.view || before.stage !== view.stage || view.seconds_left > span;
    if (fresh) span = view.seconds_left;
    ends = performance.now() + view.seconds_left * 1000;
  }
  show(view.view);
  for (const button of more) button.hidden = !view.more;
  at("scan").hidden = !view.scan;
  at("scan").disabled = false;
  if (view.view !== "result") {
    clearInterval(code.timer);
    at("done").disabled = false;
  }
  if (another) at("proof").checked = false;
  if (another && before.view === "result") forNextPerson();
  if (view.view === "consent") {
    showConsent();
    if (before.view !== "consent") readOut();
  }
  if (view.view === "work") showWork(before);
  if (view.view === "result" && (another || before.view !== "result")) showResult();
  tick();
}

// --- The abstract mirror --------------------------------------------------------------------------------------------
// A mirror shows a person's left on the left, a camera on the right: so x is turned round, and a positive yaw (to the
// person's left) moves the drawn features to the left.

const WAY = { turn_left: 180, turn_right: 0, look_up: -90, look_down: 90 };

function drawMirror() {
  const inView = shown.face !== null;
  at("person").classList.toggle("away", !inView);
  if (inView) {
    const [left, top, right, bottom] = shown.face;
    const x = 320 - (left + right) * 10, y = (top + bottom) * 7.5;
    const size = Math.min(1.7, Math.max(0.45, (bottom - top) * 15 / 116));
    const [yaw, pitch, roll] = (shown.pose ?? [0, 0, 0]).map((steps) => steps * 5);
    const aside = -Math.sin(yaw * Math.PI / 180) * 34, up = -Math.sin(pitch * Math.PI / 180) * 30;
    const narrow = Math.cos(yaw * Math.PI / 180);
    at("person").style.transform = `translate(${x}px, ${y}px) rotate(${-roll}deg) scale(${size})`;
    at("features").style.transform = `translate(${aside}px, ${up}px) scale(${Math.max(0.4, narrow)}, 1)`;
  }
  at("eyes").classList.toggle("closed", shown.guidance === "blink");
  at("mouth").setAttribute("d", shown.guidance === "open_mouth" ? "M-11 26q11 -8 22 0q-11 22 -22 0" : "M-14 27q14 9 28 0");
  const way = WAY[shown.guidance];
  at("arrow").classList.toggle("off", way === undefined);
  if (way !== undefined) {
    const turn = way * Math.PI / 180;
    at("arrow").style.transform =
      `translate(${160 + Math.cos(turn) * 112}px, ${120 + Math.sin(turn) * 80}px) rotate(${way}deg)`;
  }
}

// --- Time -----------------------------------------------------------------------------------------------------------

// So many seconds before the end the page says so, in words. Where the person can have more time they have twenty
// seconds to ask for it, and some to be told (WCAG 2.2, 2.2.1).
const SOON = { consent: 30, work: 8, result: 30 };

function tick() {
  const left = Math.max(0, Math.ceil((ends - performance.now()) / 1000));
  const clock = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
  for (const element of document.querySelectorAll("[data-clock]")) change(element, clock);
  at("left").style.strokeDasharray = `${Math.min(100, 100 * left / span)} 100`;
  const soon = left > 0 && left <= (SOON[shown.view] ?? 0) && shown.stage !== "deciding";
  const warning = soon ? [text("little_time"), ...(shown.more ? [text("more_how")] : [])] : [];
  if (soon && !document.body.classList.contains("hurry")) speak(warning);
  document.body.classList.toggle("hurry", soon);
  for (const element of document.querySelectorAll("[data-soon]")) change(element, warning.map(([words]) => words).join(" "));
  if (performance.now() - heard > 12000) show("lost");
  if (visible === "idle" && performance.now() - touched > 180000) forNextPerson();
}

// --- Answers ---------------------------------------------------------------------------------------------------------

function answer(path, details, buttons) {
  for (const button of buttons) button.disabled = true;
  fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ id: shown.id, token: shown.token, ...details }),
  }).then((reply) => { if (!reply.ok) throw new Error(reply.status); })
    .catch(() => { for (const button of buttons) button.disabled = false; });
}

at("scan").addEventListener("click", () => answer("/kiosk/scan", {}, [at("scan")]));
at("yes").addEventListener("click", () => answer("/kiosk/consent", { given: true, proof: at("proof").checked }, [at("yes"), at("no")]));
at("no").addEventListener("click", () => answer("/kiosk/consent", { given: false }, [at("yes"), at("no")]));
at("stop").addEventListener("click", () => answer("/kiosk/stop", {}, [at("stop")]));
for (const button of more) button.addEventListener("click", () => answer("/kiosk/more", {}, []));

// --- The box's voice -------------------------------------------------------------------------------------------------

function hear() {
  const events = new EventSource("/kiosk/events");
  events.addEventListener("message", (event) => { heard = performance.now(); take(JSON.parse(event.data)); });
  events.addEventListener("alive", () => { heard = performance.now(); if (visible === "lost") show(shown.view); });
  events.addEventListener("error", () => {
    if (performance.now() - heard > 3000) show("lost");
    // A browser asks again by itself where nothing answered, and never where it was refused.
    if (events.readyState === EventSource.CLOSED) setTimeout(hear, 2000);
  });
}

function listen() {
  hear();
  setInterval(tick, 250);
}
addEventListener("DOMContentLoaded", listen);   // when helps.js is here too
