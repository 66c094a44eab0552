/** The loss of each step as a line chart: an SVG file that any browser opens, light or dark. */
export function lossChart(losses: readonly number[], title: string): string {
  const [width, height, left, top, bottom] = [640, 320, 56, 40, 44];
  const low = Math.floor(Math.min(...losses) * 10) / 10;
  const high = Math.max(Math.ceil(Math.max(...losses) * 10) / 10, low + 0.1);
  const x = (i: number): number => left + (i / Math.max(1, losses.length - 1)) * (width - left - 16);
  const y = (loss: number): number => top + ((high - loss) / (high - low)) * (height - top - bottom);
  const points = losses.map((loss, i) => `${x(i).toFixed(1)},${y(loss).toFixed(1)}`).join(' ');
  const rows = Array.from({ length: 5 }, (_, i) => low + ((high - low) * i) / 4);
  const columns = [
    ...new Set([0, 0.25, 0.5, 0.75, 1].map((share) => Math.round(share * (losses.length - 1)))),
  ];
  const grid = rows.map(
    (loss) =>
      `<line x1="${left}" x2="${width - 16}" y1="${y(loss).toFixed(1)}" y2="${y(loss).toFixed(1)}" class="grid"/><text x="${left - 8}" y="${(y(loss) + 4).toFixed(1)}" text-anchor="end">${loss.toFixed(2)}</text>`,
  );
  const ticks = columns.map(
    (i) => `<text x="${x(i).toFixed(1)}" y="${height - bottom + 18}" text-anchor="middle">${i + 1}</text>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escape(title)}">
<style>text{font:12px sans-serif;fill:#444}.title{font-size:15px}.grid{stroke:#8884}polyline{fill:none;stroke:#0072b2;stroke-width:2}@media(prefers-color-scheme:dark){text{fill:#ccc}polyline{stroke:#56b4e9}}</style>
<text x="${left}" y="22" class="title">${escape(title)}</text>
${grid.join('\n')}
${ticks.join('\n')}
<text x="${(width + left) / 2}" y="${height - 8}" text-anchor="middle">step</text>
<text transform="translate(14 ${(height - bottom + top) / 2}) rotate(-90)" text-anchor="middle">loss (nats a token)</text>
<polyline points="${points}"/>
</svg>
`;
}

const escape = (text: string): string => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
