// What a page shows, for check.py. Evaluated in the page by the browser's protocol, so it is no script of the page.
(() => {
  const seen = (element) => element.getClientRects().length > 0;
  document.querySelectorAll("details").forEach((one) => (one.open = true));

  const figures = [...document.querySelectorAll("[data-key]")].map((one) => ({ key: one.dataset.key, text: one.textContent, seen: seen(one) }));

  const charts = [...document.querySelectorAll("svg.chart")].map((chart) => ({
    title: chart.querySelector("title")?.textContent ?? "",
    described: (chart.querySelector("desc")?.textContent ?? "") !== "",
    logarithmic: chart.dataset.axis === "logarithmic",
    marks: [...chart.querySelectorAll("[data-mark]")].map((one) => ({
      key: one.dataset.mark,
      keyX: one.dataset.markX ?? "",
      x: Number(one.getAttribute("cx")),
      tag: one.tagName,
      title: one.querySelector("title")?.textContent ?? "",
      y: Number(one.getAttribute("cy")),
      width: Number(one.getAttribute("width")),
      height: Number(one.getAttribute("height")),
    })),
  }));

  const heats = [...document.querySelectorAll("svg.heat")].map((map) => ({
    key: map.dataset.heat,
    grid: map.dataset.grid.split(" ").map(Number),
    paths: [...map.querySelectorAll("path")].map((one) => ({ name: one.getAttribute("class"), d: one.getAttribute("d") })),
  }));

  // Labels of one drawing that cover each other, by more than a pixel.
  const covered = [];
  for (const chart of document.querySelectorAll("svg.chart, svg.heat")) {
    const texts = [...chart.querySelectorAll("text")].map((one) => [one.textContent, one.getBoundingClientRect()]);
    for (let a = 0; a < texts.length; a++) {
      for (let b = a + 1; b < texts.length; b++) {
        const [one, other] = [texts[a][1], texts[b][1]];
        const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
        const down = Math.min(one.bottom, other.bottom) - Math.max(one.top, other.top);
        // Line boxes are taller than letters.
        if (across > 1 && down > one.height / 3) covered.push([texts[a][0], texts[b][0]]);
      }
    }
  }

  // Text against what it stands on, by WCAG 2.
  const channel = (value) => (value /= 255) <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
  const luminance = (colour) => { const [r, g, b] = numbers(colour).map(channel); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const faint = new Set();
  for (const element of document.querySelectorAll("body *")) {
    const own = [...element.childNodes].some((one) => one.nodeType === 3 && one.data.trim() !== "");
    if (!own || !seen(element) || ["SCRIPT", "STYLE", "title", "desc"].includes(element.tagName)) continue;
    const style = getComputedStyle(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    let below = element;
    while (below && (numbers(getComputedStyle(below).backgroundColor)[3] === 0 || below instanceof SVGElement)) below = below.parentElement;
    const ground = below ? getComputedStyle(below).backgroundColor : "rgb(255, 255, 255)";
    const [a, b] = [luminance(colour), luminance(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.add(`${element.tagName}.${element.getAttribute("class")}: ${colour} on ${ground}: ${ratio.toFixed(2)}`);
  }

  // Handlers, and elements that load or run something.
  const active = [...document.querySelectorAll("*")].flatMap((one) => [
    ...[...one.attributes].filter((a) => /^on/i.test(a.name) || (/^(src|srcset|style|action|formaction|ping)$/i.test(a.name)) || (a.name === "href" && !a.value.startsWith("#"))).map((a) => `${one.tagName} ${a.name}`),
    ...(/^(img|iframe|object|embed|link|base|form|audio|video|use|image|foreignObject|animate|set)$/i.test(one.tagName) ? [one.tagName] : []),
  ]);

  let copied = null;
  const button = document.querySelector("button.copy");
  if (button) {
    const old = navigator.clipboard.writeText;
    navigator.clipboard.writeText = (text) => { copied = text; return Promise.resolve(); };
    button.click();
    navigator.clipboard.writeText = old;
  }
  const table = button && [...button.closest(".table").querySelectorAll("tr")].map((row) => [...row.cells].map((cell) => cell.textContent.replace(/\s+/g, " ").trim()));

  const readouts = [...document.querySelectorAll("svg.heat")].map((map) => {
    map.scrollIntoView();
    const [left, top, width, height, columns, rows] = map.dataset.grid.split(" ").map(Number);
    const [column, row] = [columns - 1, rows - 1];
    const box = map.getBoundingClientRect();
    const scale = box.width / map.viewBox.baseVal.width;
    map.dispatchEvent(new PointerEvent("pointermove", {
      clientX: box.left + scale * (left + width * (column + 0.5)), clientY: box.top + scale * (top + height * (row + 0.5)) }));
    return { key: map.dataset.heat, row, column, scale: Number(map.dataset.scale), text: map.closest("figure").querySelector("output").textContent };
  });

  return {
    report: document.getElementById("report").textContent,
    figures, charts, heats, covered, faint: [...faint], active, copied, table, readouts,
    scripts: document.querySelectorAll("script").length,
    width: [document.documentElement.scrollWidth, document.documentElement.clientWidth],
    headings: [...document.querySelectorAll("h1, h2")].map((one) => one.textContent),
    harmed: typeof window.harmed,
  };
})()
