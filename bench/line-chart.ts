/** Something that was measured, on a line of its name. */
export interface ChartPoint {
  readonly line: string;
  readonly x: number;
  readonly y: number;
}

export interface ChartText {
  readonly title: string;
  readonly xLabel: string;
  readonly yLabel: string;
}

const width = 760;
const height = 440;
const frame = { left: 76, right: width - 24, top: 56, bottom: 312 };
/** Told apart by colour, and by dashes where colours can't be. */
const styles = [
  { light: "#0b62c4", dark: "#6cb0ff", dash: "" },
  { light: "#0a7d4f", dark: "#4fd39b", dash: "8 3" },
  { light: "#a34700", dark: "#ffab5e", dash: "2 3" },
  { light: "#7a3db8", dark: "#c79bff", dash: "12 3 2 3" },
  { light: "#c0202f", dark: "#ff7b86", dash: "" },
] as const;

/**
 * A log-log chart as SVG, one line for each name in the order of their first points, readable on light and dark ground.
 * Throws for values that have no logarithm.
 */
export function lineChart(points: readonly ChartPoint[], { title, xLabel, yLabel }: ChartText): string {
  const lines = [...Map.groupBy(points, ({ line }) => line)];
  if (lines.length > styles.length) throw new Error(`A chart has at most ${styles.length} lines, not ${lines.length}`);
  const x = scale(
    points.map((point) => point.x),
    frame.left,
    frame.right,
  );
  const y = scale(
    points.map((point) => point.y),
    frame.bottom,
    frame.top,
  );
  const grid = [
    ...x.ticks.map(
      ({ value, at }) =>
        `<path class="grid" d="M${at} ${frame.top}V${frame.bottom}"/>${text(number(value), at, frame.bottom + 18, "middle")}`,
    ),
    ...y.ticks.map(
      ({ value, at }) =>
        `<path class="grid" d="M${frame.left} ${at}H${frame.right}"/>${text(number(value), frame.left - 8, at + 4, "end")}`,
    ),
  ];
  const drawn = lines.map(([, ofLine], index) => {
    const places = ofLine.toSorted((a, b) => a.x - b.x).map((point) => [x.at(point.x), y.at(point.y)] as const);
    const path = places.map(([px, py], place) => `${place === 0 ? "M" : "L"}${px} ${py}`).join("");
    return `<path class="line l${index}" d="${path}"/>${places.map(([px, py]) => `<circle class="dot l${index}" cx="${px}" cy="${py}" r="3.5"/>`).join("")}`;
  });
  const legend = lines.map(([name], index) => {
    const [left, top] = [frame.left + (index % 2) * 330, frame.bottom + 68 + Math.floor(index / 2) * 22];
    return `<path class="line l${index}" d="M${left} ${top}h36"/><circle class="dot l${index}" cx="${left + 18}" cy="${top}" r="3.5"/>${text(name, left + 46, top + 4, "start")}`;
  });
  return `${[
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escaped(title)}">`,
    `<style>${css(lines.length)}</style>`,
    `<rect class="ground" width="${width}" height="${height}"/>`,
    `<text class="title" x="${frame.left}" y="30">${escaped(title)}</text>`,
    ...grid,
    text(xLabel, (frame.left + frame.right) / 2, frame.bottom + 42, "middle"),
    `<text text-anchor="middle" transform="translate(20 ${(frame.top + frame.bottom) / 2}) rotate(-90)">${escaped(yLabel)}</text>`,
    ...drawn,
    ...legend,
    "</svg>",
  ].join("\n")}\n`;
}

/** From the power of ten below the least to the one above the most, with a tick at each. */
function scale(values: readonly number[], from: number, to: number) {
  if (values.length === 0 || values.some((value) => !(value > 0 && Number.isFinite(value))))
    throw new Error("A log-log chart shows positive numbers only");
  const low = Math.floor(Math.log10(Math.min(...values)));
  const high = Math.max(low + 1, Math.ceil(Math.log10(Math.max(...values))));
  const at = (value: number) => round(from + ((Math.log10(value) - low) / (high - low)) * (to - from));
  const ticks = Array.from({ length: high - low + 1 }, (_, index) => ({
    value: 10 ** (low + index),
    at: at(10 ** (low + index)),
  }));
  return { at, ticks };
}

function css(lines: number): string {
  const colours = (key: "light" | "dark") =>
    styles
      .slice(0, lines)
      .map((style, index) => `.line.l${index}{stroke:${style[key]}}.dot.l${index}{fill:${style[key]}}`)
      .join("");
  const dashes = styles
    .map(({ dash }, index) => (dash === "" || index >= lines ? "" : `.line.l${index}{stroke-dasharray:${dash}}`))
    .join("");
  return [
    "text{font:13px system-ui,sans-serif;fill:#24292f}.title{font-size:16px;font-weight:600}.ground{fill:#fff}.grid{stroke:#d0d7de}",
    `.line{fill:none;stroke-width:2}${dashes}${colours("light")}`,
    `@media(prefers-color-scheme:dark){text{fill:#e6edf3}.ground{fill:#0d1117}.grid{stroke:#30363d}${colours("dark")}}`,
  ].join("");
}

function text(content: string, x: number, y: number, anchor: "start" | "middle" | "end"): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}">${escaped(content)}</text>`;
}

function number(value: number): string {
  return value >= 1 ? value.toLocaleString("en") : String(value);
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escaped(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
