// What a view's numbers look like: each chart takes its figures from the JSON beside it, and is drawn by plotly.js.

const CONFIG = { displayModeBar: false, responsive: true, scrollZoom: false };
const HORIZONS = ["#4c8dff", "#b07cf7", "#e39a35", "#2fb3a3", "#d86aa8"];
const drawn = new WeakMap();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function clear(hex, alpha) {
  const number = parseInt(hex.slice(1), 16);
  return `rgba(${number >> 16}, ${(number >> 8) & 255}, ${number & 255}, ${alpha})`;
}

// Charts know no time zones: what they take for UTC is the viewer's own time.
function local(at) {
  return at - new Date(at).getTimezoneOffset() * 60000;
}

function layout(more) {
  const axis = { gridcolor: colour("line"), zerolinecolor: colour("line"), linecolor: colour("line"), automargin: true };
  return {
    margin: { l: 8, r: 8, t: 8, b: 8 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: "system-ui, sans-serif", size: 12, color: colour("quiet") },
    legend: { orientation: "h", x: 0, y: 1.12, bgcolor: "rgba(0,0,0,0)" },
    hovermode: "x unified",
    hoverlabel: { bgcolor: colour("card"), font: { color: colour("text") } },
    dragmode: false,
    ...more,
    xaxis: { ...axis, ...more.xaxis },
    yaxis: { ...axis, ...more.yaxis },
  };
}

function price(row) {
  const bars = row.bars;
  const [up, down, accent] = [colour("up"), colour("down"), colour("accent")];
  const traces = [{
    type: "candlestick", name: "bars", x: bars.at.map(local), open: bars.open, high: bars.high, low: bars.low, close: bars.close,
    increasing: { line: { color: up, width: 1 } }, decreasing: { line: { color: down, width: 1 } }, hoverinfo: "x+y", showlegend: false,
  }];
  const ahead = [...row.forecasts].sort((one, other) => one.target - other.target);
  if (ahead.length) {
    const start = local(ahead[0].made);
    const x = ahead.map((forecast) => local(forecast.target));
    traces.push({
      type: "scatter", mode: "lines", name: "80 % of outcomes", fill: "toself", hoverinfo: "skip", line: { width: 0 }, fillcolor: clear(accent, 0.18),
      x: [start, ...x, ...[...x].reverse(), start],
      y: [ahead[0].last_close, ...ahead.map((each) => each.high), ...ahead.map((each) => each.low).reverse(), ahead[0].last_close],
    }, {
      type: "scatter", mode: "lines+markers", name: "forecast", line: { color: accent, width: 2, dash: "dot" }, marker: { size: 7 },
      x: [start, ...x], y: [ahead[0].last_close, ...ahead.map((each) => each.price)],
      hovertemplate: "%{y:,.2f}",
    });
  }
  const middle = row.past[Math.floor((row.past.length - 1) / 2)]?.horizon;
  row.past.forEach((past, number) => {
    if (!past.at.length) return;
    traces.push({
      type: "scatter", mode: "markers", name: `said ${past.horizon} min before`, x: past.at.map(local), y: past.price,
      visible: past.horizon === middle ? true : "legendonly", hovertemplate: "%{y:,.2f}",
      marker: { size: 7, color: HORIZONS[number % HORIZONS.length], symbol: past.inside.map((inside) => (inside === false ? "x-thin-open" : "circle-open")) },
    });
  });
  return [traces, layout({ showlegend: innerWidth > 720, xaxis: { type: "date", rangeslider: { visible: false }, tickformat: "%H:%M", hoverformat: "%b %d, %H:%M" }, yaxis: { side: "right", tickformat: ",.6~g" } })];
}

function reliability(row) {
  const accent = colour("accent");
  return [[
    { type: "scatter", mode: "lines", x: [0, 1], y: [0, 1], line: { color: colour("quiet"), dash: "dash", width: 1 }, hoverinfo: "skip" },
    {
      type: "scatter", mode: "lines+markers", x: row.said, y: row.came, text: row.n.map((n) => `${n} forecasts`), line: { color: accent },
      marker: { size: row.n.map((n) => Math.min(22, 6 + Math.sqrt(n))), color: accent }, hovertemplate: "said %{x:.0%}, came %{y:.0%}, %{text}<extra></extra>",
    },
  ], layout({
    showlegend: false, hovermode: "closest",
    xaxis: { range: [0, 1], tickformat: ".0%", title: { text: "said" } }, yaxis: { range: [0, 1], tickformat: ".0%", title: { text: "came" } },
  })];
}

function moods(rows) {
  const traces = rows.filter((row) => row.at.length).map((row, number) => ({
    type: "scatter", mode: "lines+markers", name: row.asset, x: row.at.map(local), y: row.score, text: row.articles.map((n) => `${n} articles`),
    line: { color: HORIZONS[number % HORIZONS.length], shape: "hv" }, marker: { size: 6 }, hovertemplate: "%{y:.2f}, %{text}",
  }));
  return [traces, layout({ xaxis: { type: "date" }, yaxis: { range: [-1.05, 1.05] } })];
}

const KINDS = { price, reliability, moods };

function draw(chart) {
  const source = document.getElementById(`${chart.id}-data`);
  if (!source || !globalThis.Plotly) return;
  const text = source.textContent;
  if (drawn.get(chart) === text) return;
  drawn.set(chart, text);
  const [traces, look] = KINDS[chart.dataset.kind](JSON.parse(text));
  look.uirevision = "kept"; // what was hidden by hand stays so
  globalThis.Plotly.react(chart, traces, look, CONFIG);
}

/** Draw every chart below `root` whose figures are new. */
export function drawAll(root) {
  for (const chart of root.querySelectorAll(".chart[id]")) draw(chart);
}

/** Draw them again in the colours of another theme. */
export function restyle(root) {
  for (const chart of root.querySelectorAll(".chart[id]")) {
    drawn.delete(chart);
    draw(chart);
  }
}
