// Keeps an open page fresh: hears from the station that something is new, fetches this page again, and puts it in place.
import { drawAll, restyle } from "./charts.js";

const main = document.getElementById("main");
const line = document.getElementById("line");
const heard = new Set((document.body.dataset.heard || "").split(" ").filter(Boolean));
const SHORT = { hour: "2-digit", minute: "2-digit" };
const LONG = { month: "short", day: "numeric", ...SHORT };

function localise(root) {
  const today = new Date().toDateString();
  for (const element of root.querySelectorAll("time[datetime]")) {
    const at = new Date(element.dateTime);
    element.textContent = at.toLocaleString(undefined, at.toDateString() === today ? SHORT : LONG);
  }
}

function show(fresh) {
  const focused = main.contains(document.activeElement) ? document.activeElement.id : "";
  for (const chart of fresh.querySelectorAll(".chart[id]")) {
    const drawn = document.getElementById(chart.id);
    if (drawn) {
      drawn.setAttribute("aria-label", chart.getAttribute("aria-label") || "");
      chart.replaceWith(drawn);
    }
  }
  const examined = document.getElementById("doctor");
  const unexamined = fresh.querySelector("#doctor");
  if (examined && unexamined) unexamined.replaceWith(examined);
  localise(fresh);
  main.replaceChildren(...fresh.childNodes);
  drawAll(main);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

async function parsed(address) {
  const answer = await fetch(address, { credentials: "same-origin", redirect: "follow" });
  if (answer.redirected && new URL(answer.url).pathname === "/sign-in") location.assign(answer.url);
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("main");
}

let fetching = false;
let again = false;
async function refresh() {
  if (fetching || document.hidden) { again = true; return; }
  fetching = true;
  again = false;
  try {
    const fresh = await parsed(location.href);
    if (fresh && !main.querySelector("form :focus")) show(document.adoptNode(fresh));
  } catch { /* the line says that the station is away */ }
  fetching = false;
  if (again) refresh();
}

function say(state, words) {
  line.dataset.state = state;
  if (line.textContent !== words) line.textContent = words;
}

let patience = 1000;
function listen() {
  const address = new URL("/live", location.href);
  address.protocol = address.protocol.replace("http", "ws");
  const socket = new WebSocket(address);
  let opened = false;
  socket.onopen = () => {
    if (patience > 1000) refresh();
    opened = true;
    patience = 1000;
    say("live", "live");
  };
  socket.onmessage = (event) => {
    if (JSON.parse(event.data).changed.some((kind) => heard.has(kind))) refresh();
  };
  socket.onclose = (event) => {
    if (event.code === 4401) { location.assign(`/sign-in?then=${encodeURIComponent(location.pathname)}`); return; }
    say("away", "no connection");
    patience = Math.min(30000, patience * 2) * (opened ? 1 : 0.8 + Math.random() * 0.4);
    setTimeout(listen, patience);
  };
}

function nextTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme || (dark ? "dark" : "light");
  const next = now === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try { localStorage.setItem("tickerml-theme", next); } catch { /* then it lasts as long as the page */ }
  restyle(main);
}

document.getElementById("theme")?.addEventListener("click", nextTheme);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => restyle(main));
document.addEventListener("submit", (event) => {
  const question = event.target.dataset.ask;
  if (question && !confirm(question)) event.preventDefault();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden && again) refresh(); });

localise(document);
drawAll(main);
if (heard.size) listen();
else say("still", "");

const doctor = document.getElementById("doctor");
if (doctor?.dataset.source) {
  parsed(doctor.dataset.source).then((found) => {
    const told = found?.querySelector("#doctor");
    if (told) doctor.replaceChildren(...document.adoptNode(told).childNodes);
  }).catch(() => { /* the link stays */ });
}
