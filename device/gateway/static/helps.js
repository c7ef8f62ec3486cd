// What helps a person to read, hear and reach the page: all of it read aloud, larger text, more contrast, everything
// further down. Beside kiosk.js, whose texts and newest view it uses; the next person finds none of it set.
"use strict";

// --- Speech ----------------------------------------------------------------------------------------------------------
// Something to say is a text and the key of its recording. The browser's own voice says it if there is one for the
// language, else the box's recordings do; a recording can name nobody, so what has a name in it has none.

const player = new Audio();
let waiting = [];   // recordings that follow the one that plays

const text = (key) => [say(key), texts.text[key].includes("{") ? "" : `text-${key}`];
const named = (kind, key) => [texts[kind][key], `${kind}-${key}`];

// What is on the page now, as one would read it to somebody.
function toSay() {
  if (visible === "consent") {
    const told = [text("told_result"), ...shown.attributes.map((name) => named("attribute", name))];
    if (shown.subject) told.push(text("told_subject"));
    return [text("consent_title"), text("consent_lead"), text("happens"), ...shown.happens.map((step) => text(`happens_${step}`)),
      text("told"), ...told, text("kept"), text("kept_sentence"), text("kept_nothing"), text("staff")];
  }
  if (visible === "work") return [named("guidance", shown.guidance)];
  if (visible !== "result") return [text(`${visible}_title`), text(`${visible}_text`), text("staff")];
  const why = shown.explanation in texts.explanation ? [named("explanation", shown.explanation)] : [];
  const next = shown.codes[0] ? [text("code_verdict"), text("code_verdict_text")] : shown.result === "verified" ? [text("verified_text")] : [text("again"), text("staff")];
  return [text(shown.result), ...why, ...next];
}

function hasVoice() {
  const language = texts.voice.split("-")[0];
  return "speechSynthesis" in window && speechSynthesis.getVoices().some((voice) => voice.lang.startsWith(language));
}

function hush() {
  waiting = [];
  player.pause();
  if ("speechSynthesis" in window) speechSynthesis.cancel();
}

function playNext() {
  const key = waiting.shift();
  if (!key) return;
  player.src = `/kiosk/voice/${root.lang}/${key}.wav`;
  player.play().catch(() => {});   // a browser that forbids sound shows the text all the same
}
player.addEventListener("ended", playNext);

function speak(sentences) {
  if (at("speak").getAttribute("aria-pressed") !== "true") return;
  hush();
  if (hasVoice()) {
    const words = new SpeechSynthesisUtterance(sentences.map(([words]) => words).join(". "));
    words.lang = texts.voice;
    speechSynthesis.speak(words);
  } else if (texts.recorded) {
    waiting = sentences.map(([, key]) => key).filter(Boolean);
    playNext();
  }
}

function readOut() { speak(toSay()); }

// --- What somebody chose for themselves: text size, contrast, height, speech, language -------------------------------

const choices = {};   // how to set each choice
let touched = performance.now();
sessionStorage.home ??= location.search;   // the language that the box begins with

function remember(id, apply) {
  const button = at(id);
  const set = choices[id] = (on) => {
    button.setAttribute("aria-pressed", String(on));
    apply(on);
    sessionStorage.setItem(id, on ? "1" : "");
  };
  button.addEventListener("click", () => set(button.getAttribute("aria-pressed") !== "true"));
  set(sessionStorage.getItem(id) === "1");
}

remember("larger", (on) => root.classList.toggle("larger", on));
remember("low", (on) => root.classList.toggle("low", on));
remember("contrast", (on) => root.classList.toggle("contrast", on));
remember("speak", (on) => { if (on) readOut(); else hush(); });

// The next person finds the page as it always begins, and not as the last one needed it.
function forNextPerson() {
  touched = performance.now();
  for (const set of Object.values(choices)) set(false);
  if (location.search !== sessionStorage.home) location.replace(`/${sessionStorage.home}`);
}

for (const touch of ["pointerdown", "keydown"]) addEventListener(touch, () => { touched = performance.now(); });
