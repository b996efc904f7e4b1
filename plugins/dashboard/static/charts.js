// What a view's numbers look like: each chart takes its figures from the JSON beside it, and is drawn by Chart.js.

const HORIZONS = ["#4c8dff", "#b07cf7", "#e39a35", "#2fb3a3", "#d86aa8"];
const shown = new WeakMap();

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

function clear(hex, alpha) {
  const number = parseInt(hex.slice(1), 16);
  return `rgba(${number >> 16}, ${(number >> 8) & 255}, ${number & 255}, ${alpha})`;
}

function points(at, values) {
  return at.map((x, place) => ({ x, y: values[place] }));
}

function told(value) {
  return value.toLocaleString(undefined, { maximumSignificantDigits: 7 });
}

function axis(more = {}) {
  return { grid: { color: colour("line") }, border: { color: colour("line") }, ...more, ticks: { color: colour("quiet"), maxRotation: 0, ...more.ticks } };
}

function timeAxis(unit) {
  const formats = { minute: "HH:mm", hour: "HH:mm", day: "MMM d" };
  return axis({ type: "time", bounds: "data", time: { displayFormats: formats, tooltipFormat: "MMM d, HH:mm", minUnit: unit }, ticks: { autoSkipPadding: 24 } });
}

function options(more) {
  return {
    animation: false,
    responsive: true,
    maintainAspectRatio: false,
    interaction: { mode: "nearest", axis: "x", intersect: false },
    ...more,
    plugins: {
      legend: { display: innerWidth > 720, align: "start", labels: { color: colour("quiet"), usePointStyle: true, boxHeight: 7 }, ...more.legend },
      tooltip: { ...more.tooltip },
    },
  };
}

function price(row) {
  const { bars } = row;
  const [up, down, accent] = [colour("up"), colour("down"), colour("accent")];
  const colours = bars.close.map((close, place) => (close >= bars.open[place] ? up : down));
  const bar = { type: "bar", grouped: false, backgroundColor: colours, borderWidth: 0, order: 3, minBarLength: 1 };
  const datasets = [
    { ...bar, label: "bars", data: bars.at.map((x, place) => ({ x, y: [bars.open[place], bars.close[place]] })), barPercentage: 0.75, categoryPercentage: 1, pointStyle: "rect" },
    { ...bar, label: "high and low", data: bars.at.map((x, place) => ({ x, y: [bars.low[place], bars.high[place]] })), barThickness: 1 },
  ];
  const ahead = [...row.forecasts].sort((one, other) => one.target - other.target);
  if (ahead.length) {
    const start = { x: ahead[0].made, y: ahead[0].last_close };
    const edge = (name) => [start, ...ahead.map((each) => ({ x: each.target, y: each[name] }))];
    const band = { type: "line", pointRadius: 0, borderWidth: 0, backgroundColor: clear(accent, 0.2), order: 4, pointStyle: "rect" };
    datasets.push(
      { ...band, label: "upper edge", data: edge("high"), fill: false },
      { ...band, label: "80 % of outcomes", data: edge("low"), fill: "-1" },
      { type: "line", label: "forecast", data: edge("price"), borderColor: accent, backgroundColor: accent, borderDash: [3, 3], borderWidth: 2, pointRadius: 3.5, order: 1 },
    );
  }
  const middle = row.past[Math.floor((row.past.length - 1) / 2)]?.horizon;
  row.past.forEach((past, number) => datasets.push({
    type: "line", showLine: false, label: `said ${past.horizon} min before`, data: points(past.at, past.price), hidden: past.horizon !== middle,
    borderColor: HORIZONS[number % HORIZONS.length], backgroundColor: "transparent", borderWidth: 1.6, pointRadius: 4, order: 2,
    pointStyle: past.inside.map((inside) => (inside === false ? "crossRot" : "circle")),
  }));
  const hidden = new Set(["high and low", "upper edge"]);
  return {
    data: { datasets },
    options: options({
      scales: { x: timeAxis("minute"), y: axis({ position: "right", beginAtZero: false, grace: "4%", ticks: { callback: told, maxTicksLimit: 7 } }) },
      legend: { labels: { color: colour("quiet"), usePointStyle: true, boxHeight: 7, filter: (item) => !hidden.has(item.text) } },
      tooltip: {
        filter: (item) => !hidden.has(item.dataset.label),
        callbacks: {
          label(item) {
            const edges = item.raw.y;
            if (!Array.isArray(edges)) return `${item.dataset.label}: ${told(edges)}`;
            const [low, high] = [row.bars.low, row.bars.high].map((side) => told(side[item.dataIndex] ?? NaN));
            return `open ${told(edges[0])}, close ${told(edges[1])}, ${low} to ${high}`;
          },
        },
      },
    }),
  };
}

function reliability(row) {
  const accent = colour("accent");
  const percent = { callback: (value) => `${Math.round(100 * value)} %`, stepSize: 0.25 };
  const scale = (words) => axis({ type: "linear", min: 0, max: 1, ticks: percent, title: { display: true, text: words, color: colour("quiet") } });
  return {
    data: {
      datasets: [
        { type: "line", label: "honest", data: [{ x: 0, y: 0 }, { x: 1, y: 1 }], borderColor: colour("quiet"), borderDash: [5, 5], borderWidth: 1, pointRadius: 0 },
        { type: "line", label: "came", data: points(row.said, row.came), borderColor: accent, backgroundColor: accent, pointRadius: row.n.map((n) => Math.min(11, 3 + Math.sqrt(n) / 2)) },
      ],
    },
    options: options({
      scales: { x: scale("said"), y: scale("came") },
      legend: { display: false },
      tooltip: {
        filter: (item) => item.dataset.label === "came",
        callbacks: {
          title: () => "",
          label: ({ raw, dataIndex }) => `said ${Math.round(100 * raw.x)} %, came ${Math.round(100 * raw.y)} % of ${row.n[dataIndex]}`,
        },
      },
    }),
  };
}

function moods(rows) {
  const datasets = rows.filter((row) => row.at.length).map((row, number) => {
    const line = HORIZONS[number % HORIZONS.length];
    return { type: "line", label: row.asset, data: points(row.at, row.score), stepped: "before", borderColor: line, backgroundColor: line, borderWidth: 2, pointRadius: 3 };
  });
  return { data: { datasets }, options: options({ scales: { x: timeAxis("hour"), y: axis({ min: -1, max: 1 }) }, legend: { display: true } }) };
}

const KINDS = { price, reliability, moods };

function draw(element) {
  const text = document.getElementById(`${element.id}-data`)?.textContent;
  const { Chart } = globalThis;
  if (!text || !Chart || shown.get(element) === text) return;
  shown.set(element, text);
  const figure = KINDS[element.dataset.kind](JSON.parse(text));
  const canvas = element.querySelector("canvas") || element.appendChild(document.createElement("canvas"));
  const chart = Chart.getChart(canvas);
  if (!chart) {
    new Chart(canvas, figure);
    return;
  }
  // What was switched off or on by hand stays so.
  const switched = new Map(chart.data.datasets.map((one, place) => [one.label, !chart.isDatasetVisible(place)]));
  for (const one of figure.data.datasets) if (switched.has(one.label)) one.hidden = switched.get(one.label);
  chart.data = figure.data;
  chart.options = figure.options;
  chart.update("none");
}

/** Draw every chart below `root` whose figures are new, and let go of those that have left the page. */
export function drawAll(root) {
  for (const chart of Object.values(globalThis.Chart?.instances ?? {})) if (!chart.canvas.isConnected) chart.destroy();
  for (const element of root.querySelectorAll(".chart[id]")) draw(element);
}

/** Draw them again in the colours of another theme. */
export function restyle(root) {
  for (const element of root.querySelectorAll(".chart[id]")) {
    shown.delete(element);
    draw(element);
  }
}
